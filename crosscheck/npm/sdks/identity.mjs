// Packages of providers of identities: sign-in and verification of persons.
import { createRequire } from "node:module";
import { WorkOS } from "@workos-inc/node";
import { verifyWebhook } from "@clerk/backend/webhooks";

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
];
