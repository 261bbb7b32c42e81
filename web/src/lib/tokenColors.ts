// Colors of a text's tokens: only those in sight are touched, and only where a color changes.

export interface Paint {
  color: string;
  ink: string;
}

const UNPAINTED = -2;
/** The step of a token that is left out. */
export const LEFT_OUT = -1;

export class TokenColors {
  private readonly tokens: HTMLElement[];
  private readonly painted: Int16Array;
  private readonly observer: ResizeObserver;
  private bottoms: Float64Array | null = null;
  private height = 0;
  private top = 0;
  private steps: Int16Array = new Int16Array();
  private paints: Paint[] = [];

  constructor(private readonly box: HTMLElement) {
    this.tokens = [...box.querySelectorAll<HTMLElement>(".source")];
    this.painted = new Int16Array(this.tokens.length).fill(UNPAINTED);
    this.observer = new ResizeObserver(() => {
      this.bottoms = null;
      this.apply();
    });
    this.observer.observe(box);
    box.addEventListener("scroll", this.scrolled, { passive: true });
  }

  /** Give each token the color of its step. */
  paint(steps: Int16Array, paints: Paint[]): void {
    if (paints !== this.paints) this.painted.fill(UNPAINTED);
    this.steps = steps;
    this.paints = paints;
    this.apply();
  }

  close(): void {
    this.observer.disconnect();
    this.box.removeEventListener("scroll", this.scrolled);
  }

  private readonly scrolled = () => {
    this.top = this.box.scrollTop;
    this.apply();
  };

  private apply(): void {
    const { bottoms } = this;
    const places = bottoms ?? this.measured();
    let first = firstAtLeast(places, this.top);
    for (; first < places.length && places[first]! - 60 <= this.top + this.height; first += 1) this.color(first);
  }

  private color(place: number): void {
    const step = this.steps[place] ?? LEFT_OUT;
    const token = this.tokens[place];
    if (!token || this.painted[place] === step) return;
    this.painted[place] = step;
    const paint = step < 0 ? null : this.paints[step];
    token.style.backgroundColor = paint?.color ?? "";
    token.style.color = paint?.ink ?? "";
  }

  /** The lower edge of each token, which reads the layout: once, until the width changes. */
  private measured(): Float64Array {
    this.height = this.box.clientHeight;
    this.top = this.box.scrollTop;
    this.bottoms = Float64Array.from(this.tokens, (token) => token.offsetTop + token.offsetHeight);
    return this.bottoms;
  }
}

/** The first place whose number, in rising order, is at least a bound. */
function firstAtLeast(numbers: Float64Array, bound: number): number {
  let [low, high] = [0, numbers.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (numbers[middle]! < bound) low = middle + 1;
    else high = middle;
  }
  return low;
}
