// How the page asks the service: operations with JSON arguments, answered by JSON or by a message of arrays.

export type Facts = Record<string, unknown>;
export interface NumberArray {
  shape: number[];
  values: Float32Array | Float64Array | Uint8Array;
}
export interface ArrayMessage<F = Facts> {
  facts: F;
  arrays: Record<string, NumberArray>;
}

/** Whatever carries requests: HTTP here, a notebook's channel elsewhere. */
export interface Transport {
  ask<T>(operation: string, args?: Facts, signal?: AbortSignal): Promise<T>;
  fetchArrays<F>(operation: string, args: Facts, signal?: AbortSignal): Promise<ArrayMessage<F>>;
}

/** The service refused a request; the message says why and what to do. */
export class Refused extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

const UNREACHABLE =
  "The explorer's server doesn't answer. It may have been stopped: start `normlens view` again, and open the address that it prints.";

export class HttpTransport implements Transport {
  constructor(private readonly token: string) {}

  async ask<T>(operation: string, args: Facts = {}, signal?: AbortSignal): Promise<T> {
    return (await this.send(operation, args, signal)).json() as Promise<T>;
  }

  async fetchArrays<F>(operation: string, args: Facts, signal?: AbortSignal): Promise<ArrayMessage<F>> {
    return decoded<F>(await (await this.send(operation, args, signal)).arrayBuffer());
  }

  private async send(operation: string, args: Facts, signal?: AbortSignal): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(`api/${operation}`, {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-Normlens-Token": this.token },
        body: JSON.stringify(args),
        credentials: "omit",
        ...(signal ? { signal } : {}),
      });
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") throw error;
      throw new Refused(UNREACHABLE, 0);
    }
    if (response.ok) return response;
    const answer = (await response.json().catch(() => null)) as { error?: string } | null;
    throw new Refused(answer?.error ?? `The server answered ${response.status}. Reload the page.`, response.status);
  }
}

interface Described {
  dtype: "float16" | "float32" | "float64" | "uint8";
  shape: number[];
  offset: number;
  scale: number;
}

/** The facts and arrays of a message: header length, header in JSON, then the arrays as little-endian bytes. */
export function decoded<F>(buffer: ArrayBuffer): ArrayMessage<F> {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length))) as { arrays: Record<string, Described> };
  const { arrays: described, ...facts } = header;
  const arrays: Record<string, NumberArray> = {};
  for (const [name, one] of Object.entries(described)) {
    arrays[name] = { shape: one.shape, values: numbers(buffer, 4 + length + one.offset, one) };
  }
  return { facts: facts as F, arrays };
}

function numbers(buffer: ArrayBuffer, start: number, { dtype, shape, scale }: Described): NumberArray["values"] {
  const count = shape.reduce((product, size) => product * size, 1);
  if (dtype === "uint8") return new Uint8Array(buffer, start, count);
  if (dtype === "float32") return new Float32Array(buffer, start, count);
  if (dtype === "float64") return new Float64Array(buffer, start, count);
  const bits = new Uint16Array(buffer, start, count);
  const values = new Float32Array(count);
  for (let place = 0; place < count; place += 1) values[place] = scale * halves[bits[place]!]!;
  return values;
}

const halves = Float32Array.from({ length: 65536 }, (_, bits) => {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
});
