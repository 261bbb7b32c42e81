// The small heat map: targets down, sources across, the row or column of the chosen token framed.

const smallestLabeled = 10;

// The list of the strongest stands beside the map where the card is wide enough for both.
function cellSize(card, map) {
  const inside = card.clientWidth - 40;
  const room = inside > 480 ? Math.min(inside - 220, 640) : inside;
  const labeled = Math.min(26, (room - 88) / map.sources, 480 / map.targets);
  return labeled >= smallestLabeled ? labeled : Math.max(Math.min(smallestLabeled - 0.1, (room - 10) / map.sources, 500 / map.targets), 0.25);
}

const shortened = (text, length) => ([...text].length > length ? `${[...text].slice(0, length - 1).join("")}…` : text);

function drawMatrix(canvas, card, map, group, measure, chosen) {
  const cell = cellSize(card, map);
  const labeled = cell >= smallestLabeled;
  const [left, top] = labeled ? [84, 78] : [6, 6];
  const [width, height] = [cell * map.sources, cell * map.targets];
  const density = window.devicePixelRatio || 1;
  canvas.style.width = `${left + width + 2}px`;
  canvas.style.height = `${top + height + 2}px`;
  canvas.width = Math.ceil((left + width + 2) * density);
  canvas.height = Math.ceil((top + height + 2) * density);
  const pen = canvas.getContext("2d");
  pen.scale(density, density);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(squares(map, measure), left, top, width, height);
  pen.strokeStyle = themeColor("--line");
  pen.strokeRect(left - 0.5, top - 0.5, width + 1, height + 1);
  if (labeled) writeLabels(pen, group, cell, left, top);
  if (chosen) {
    pen.strokeStyle = themeColor("--chosen");
    pen.lineWidth = 2;
    if (chosen.side === "target") pen.strokeRect(left, top + chosen.place * cell, width, cell);
    else pen.strokeRect(left + chosen.place * cell, top, cell, height);
  }
  Object.assign(canvas, { cell, left, top });
}

function squares(map, measure) {
  const sheet = document.createElement("canvas");
  sheet.width = map.sources;
  sheet.height = map.targets;
  const pen = sheet.getContext("2d");
  const image = pen.createImageData(map.sources, map.targets);
  map.shares.forEach((share, place) => {
    image.data.set([...colorAt(measure, map.largest ? share / map.largest : 0), 255], 4 * place);
  });
  pen.putImageData(image, 0, 0);
  return sheet;
}

function writeLabels(pen, group, cell, left, top) {
  pen.font = `${Math.min(12, cell * 0.8)}px system-ui, "DejaVu Sans", "Noto Sans", sans-serif`;
  pen.textBaseline = "middle";
  const ink = (token) => themeColor(token.category === "special" ? "--special" : "--ink");
  pen.textAlign = "right";
  group.targets.forEach((token, place) => {
    pen.fillStyle = ink(token);
    pen.fillText(shortened(token.text, 12), left - 6, top + (place + 0.5) * cell);
  });
  pen.textAlign = "left";
  pen.fillStyle = themeColor("--quiet");
  pen.fillText("source →", left - 78, top - 26);
  pen.fillText("target ↓", left - 78, top - 10);
  group.sources.forEach((token, place) => {
    pen.save();
    pen.translate(left + (place + 0.5) * cell, top - 6);
    pen.rotate(-Math.PI / 2);
    pen.fillStyle = ink(token);
    pen.fillText(shortened(token.text, 11), 0, 0);
    pen.restore();
  });
}

function squareAt(canvas, event, map) {
  const source = Math.floor((event.offsetX - canvas.left) / canvas.cell);
  const target = Math.floor((event.offsetY - canvas.top) / canvas.cell);
  const inside = source >= 0 && target >= 0 && source < map.sources && target < map.targets;
  return inside ? { target, source } : null;
}
