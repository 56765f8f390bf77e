// A request as an application gets it.
import { createPublicKey } from "node:crypto";

export class Incoming {
  // headers has lower-case names, as Node gives them.
  constructor({ method, url, headers, body }) {
    Object.assign(this, { method, url, headers, body });
  }

  get text() { return this.body.toString("utf8"); }
  get json() { return JSON.parse(this.text); }
  get form() { return Object.fromEntries(new URLSearchParams(this.text)); }
  // The fields of a form, multipart or urlencoded.
  async fields() { return Object.fromEntries(await new Response(this.body, { headers: { "content-type": this.header("content-type") } }).formData()); }
  get path() { return new URL(this.url).pathname; }

  header(name) { return this.headers[name.toLowerCase()]; }
  with(changes) { return new Incoming({ ...this, ...changes }); }

  // One letter or digit of the body is another one; it stays as readable as it was.
  tampered() {
    const body = Buffer.from(this.body), text = body.toString("latin1");
    const found = [...text.matchAll(text.includes('"') ? /[0-9A-Za-z](?=")/g : /[0-9A-Za-z]/g)].at(-1);
    if (!found) throw new Error("body has no text to change");
    body[found.index] = found[0] === "a" ? 0x62 : 0x61;
    return this.with({ body });
  }
}

// The public half of a private key in PEM, as the provider publishes it: pem, der (base64), raw (32 bytes of Ed25519) or jwk.
export function publicKey(secret, form) {
  const key = createPublicKey(secret);
  switch (form) {
    case "pem": return key.export({ type: "spki", format: "pem" });
    case "der": return key.export({ type: "spki", format: "der" }).toString("base64");
    case "raw": return Buffer.from(key.export({ format: "jwk" }).x, "base64url");
    case "jwk": return key.export({ format: "jwk" });
    default: throw new Error(`form ${form}: want pem, der, raw or jwk`);
  }
}
