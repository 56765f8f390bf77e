// Packages of providers of identities: sign-in and verification of persons.
import { createRequire } from "node:module";
import { WorkOS } from "@workos-inc/node";
import { verifyWebhook } from "@clerk/backend/webhooks";
import { decodeWebhook } from "@kinde/webhooks";
import { publicKey } from "../lib/incoming.mjs";

const require = createRequire(import.meta.url);
const onfido = require("@onfido/api");
const complycube = require("@complycube/api");
const workos = new WorkOS("sk_not_used");

export default [
  {
    provider: "workos", package: "@workos-inc/node",
    accepts: (r, secret) => workos.webhooks.constructEvent({ payload: r.json, sigHeader: r.header("workos-signature"), secret }),
    signs: async (r, secret) => {
      const at = Date.now();
      return { headers: { ...r.headers, "workos-signature": `t=${at}, v1=${await workos.webhooks.computeSignature(at, r.json, secret)}` } };
    },
  },
  {
    provider: "clerk", package: "@clerk/backend",
    accepts: (r, secret) => verifyWebhook(new Request(r.url, { method: r.method, headers: r.headers, body: r.body }), { signingSecret: secret }),
  },
  {
    provider: "onfido", package: "@onfido/api",
    accepts: (r, secret) => new onfido.WebhookEventVerifier(secret).readPayload(r.body, r.header("x-sha2-signature")),
  },
  {
    provider: "complycube", package: "@complycube/api",
    accepts: (r, secret) => new complycube.EventVerifier(secret).constructEvent(r.text, r.header("complycube-signature")),
  },
  {
    provider: "kinde", package: "@kinde/webhooks",
    accepts: async (r, secret) => {
      const real = globalThis.fetch;
      const domain = "https://example.kinde.com", keys = [{ ...publicKey(secret, "jwk"), kid: "key", alg: "RS256", use: "sig" }];
      globalThis.fetch = async (address) => { // the server of Kinde's keys
        if (String(address) !== `${domain}/.well-known/jwks.json`) throw new Error(`unexpected address ${address}`);
        return Response.json({ keys });
      };
      try {
        return await decodeWebhook(r.text, domain);
      } finally {
        globalThis.fetch = real;
      }
    },
    tamper: (r) => r.with({ body: Buffer.from(r.text.replace(/\..{40}/, (part) => `${part.slice(0, 39)}${part[39] === "A" ? "B" : "A"}`)) }),
  },
];
