// Ramps from the card's ground to a measure's color, for light and dark; and ink that stays readable on them.

const ramps = {
  light: {
    weight: [[255, 255, 255], [198, 221, 238], [95, 164, 208], [0, 114, 178], [0, 58, 92]],
    norm: [[255, 255, 255], [249, 217, 194], [235, 154, 98], [213, 94, 0], [110, 48, 0]],
  },
  dark: {
    weight: [[26, 29, 33], [18, 56, 79], [15, 107, 163], [79, 176, 234], [211, 236, 255]],
    norm: [[26, 29, 33], [77, 36, 9], [168, 80, 15], [240, 138, 60], [255, 227, 204]],
  },
};
const darkness = window.matchMedia("(prefers-color-scheme: dark)");

function colorAt(measure, strength) {
  if (!Number.isFinite(strength)) return darkness.matches ? [60, 64, 69] : [221, 221, 221];
  const ramp = ramps[darkness.matches ? "dark" : "light"][measure];
  const place = Math.min(Math.max(strength, 0), 1) * (ramp.length - 1);
  const below = Math.min(Math.floor(place), ramp.length - 2);
  return ramp[below].map((part, index) => Math.round(part + (place - below) * (ramp[below + 1][index] - part)));
}

const css = ([red, green, blue]) => `rgb(${red} ${green} ${blue})`;
const inkOn = ([red, green, blue]) => (0.3 * red + 0.59 * green + 0.11 * blue < 140 ? "#ffffff" : "#15181b");
const themeColor = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
