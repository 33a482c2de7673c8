/**
 * A mail as it travels: headers and base64 parts.
 *
 * Rules that hold here: nothing a person typed can begin a header of its own; every text is UTF-8.
 * Sources: RFC 5322, RFC 2045, RFC 2047 (words in headers), RFC 2231 (file names).
 */
const LINE = 76;

const bytesOf = (text) => new TextEncoder().encode(text);

function base64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}

const wrapped = (text) => text.match(new RegExp(`.{1,${LINE}}`, "g"))?.join("\r\n") ?? "";
const oneLine = (text) => text.replace(/[\r\n]+/g, " ").trim();

/** A header's text: as it is where it is plain ASCII, else in encoded words of at most 75 characters. */
function word(text) {
  const line = oneLine(text);
  if (/^[\x20-\x7e]*$/.test(line) && !line.includes("=?")) return line;
  const words = [];
  let now = "";
  for (const letter of line) {
    if (bytesOf(now + letter).length > 42) {
      words.push(now);
      now = "";
    }
    now += letter;
  }
  return [...words, now].map((part) => `=?UTF-8?B?${base64(bytesOf(part))}?=`).join("\r\n ");
}

/** "Name <address>, address" with names encoded. Raises RangeError naming what is no address. */
export function addresses(text) {
  return text
    .split(",")
    .map((one) => oneLine(one))
    .filter(Boolean)
    .map((one) => {
      const [, name, address] = /^(?:"?([^"<]*?)"?\s*<)?([^\s<>"]+@[^\s<>"]+)>?$/.exec(one) ?? [];
      if (!address) throw new RangeError(`"${one}" is no mail address.`);
      return name ? `${/^[\w .'-]*$/.test(name) ? `"${name}"` : word(name)} <${address}>` : address;
    })
    .join(", ");
}

/** The raw mail. `file`: {name, type, bytes} or null. */
export function mime({ from, to, subject, text, file, at }) {
  const id = `${crypto.randomUUID()}@mail.outside.example`;
  const head = [
    `From: ${addresses(from)}`,
    `To: ${addresses(to)}`,
    `Subject: ${word(subject)}`,
    `Date: ${new Date(at).toUTCString().replace("GMT", "+0000")}`,
    `Message-ID: <${id}>`,
    "MIME-Version: 1.0",
  ];
  const plain = [
    "Content-Type: text/plain; charset=utf-8",
    "Content-Transfer-Encoding: base64",
    "",
    wrapped(base64(bytesOf(text.replace(/\r?\n/g, "\r\n")))),
  ];
  if (!file) return [...head, ...plain, ""].join("\r\n");
  const border = `part-${crypto.randomUUID()}`;
  const name = encodeURIComponent(oneLine(file.name)).replace(
    /[*'()]/g,
    (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  const attached = [
    `Content-Type: ${/^[\w.+-]+\/[\w.+-]+$/.test(file.type) ? file.type : "application/octet-stream"}`,
    "Content-Transfer-Encoding: base64",
    `Content-Disposition: attachment; filename*=UTF-8''${name}`,
    "",
    wrapped(base64(file.bytes)),
  ];
  return [
    ...head,
    `Content-Type: multipart/mixed; boundary="${border}"`,
    "",
    `--${border}`,
    ...plain,
    `--${border}`,
    ...attached,
    `--${border}--`,
    "",
  ].join("\r\n");
}
