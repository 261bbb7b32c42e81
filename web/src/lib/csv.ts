// Tables as CSV (RFC 4180), and files for the reader to keep.

export type Field = string | number | null;

/** A table as CSV: fields with commas, quotes or line breaks are quoted; numbers have all their digits; nothing for NaN. */
export function csvOf(header: string[], rows: Field[][]): string {
  return [header, ...rows].map((row) => `${row.map(fieldOf).join(",")}\r\n`).join("");
}

function fieldOf(field: Field): string {
  if (field === null || (typeof field === "number" && !Number.isFinite(field))) return "";
  const text = String(field);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Hand a file to the reader. */
export function download(name: string, content: string | Uint8Array | Blob, type: string): void {
  const address = URL.createObjectURL(new Blob([content as BlobPart], { type }));
  Object.assign(document.createElement("a"), { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
