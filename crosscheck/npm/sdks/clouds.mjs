// Packages of clouds, which sign with keys that they publish. The keys come from a test's own key pair in place of the cloud's server.
import { createRequire } from "node:module";
import { createSign, randomUUID } from "node:crypto";
import https from "node:https";
import { Readable } from "node:stream";
import { EventEmitter } from "node:events";
import { JWTAccess, OAuth2Client } from "google-auth-library";
import { Environment, SignedDataVerifier } from "@apple/app-store-server-library";
import { publicKey } from "../lib/incoming.mjs";

const require = createRequire(import.meta.url);

// Has the library for Amazon's notifications verify a message. It keeps certificates by address, so each test loads it anew.
function validateSns(message, certificate) {
  delete require.cache[require.resolve("sns-validator")];
  const Validator = require("sns-validator"), real = https.get;
  https.get = (address, answered) => {
    const answer = Object.assign(Readable.from([certificate]), { statusCode: 200 });
    process.nextTick(answered, answer);
    return new EventEmitter();
  };
  return new Promise((resolve, reject) => {
    new Validator().validate(message, (error, valid) => (error ? reject(error) : resolve(Boolean(valid))));
  }).finally(() => { https.get = real; });
}

// Tokens of Google: the library signs them as Google does, and must accept them itself.
const kid = "key", accounts = "https://accounts.google.com", chat = "chat@system.gserviceaccount.com";
const google = (provider, { issuer = accounts, audience = "audience", email, params = {} }) => ({
  provider, package: "google-auth-library", params, bodyUnsigned: "the token vouches for the request, not for its body",
  published: issuer === accounts,
  documents: (secret) => ({ "https://www.googleapis.com/oauth2/v3/certs": JSON.stringify({ keys: [{ ...publicKey(secret, "jwk"), kid, alg: "RS256", use: "sig" }] }) }),
  signs: async (r, secret, values) => {
    const claims = email && { email, email_verified: true };
    const authorization = new JWTAccess(issuer, secret, kid).getRequestHeaders(values[audience], claims).get("authorization");
    await new OAuth2Client().verifySignedJwtWithCertsAsync(authorization.replace("Bearer ", ""), { [kid]: publicKey(secret, "pem") }, values[audience], [issuer]);
    return { headers: { ...r.headers, authorization } };
  },
});
const pusher = "push@project.iam.gserviceaccount.com";

// Apple's notifications: signed with the key of a chain of certificates, whose root is the secret here.
const chains = new Map();
const app = { bundle_id: "com.example.app", environment: "Sandbox" };
const apple = (roots) => new SignedDataVerifier(roots, false, Environment.SANDBOX, app.bundle_id);
const der = (pem) => Buffer.from(pem.replaceAll(/-----[A-Z ]+-----|\s/g, ""), "base64");

export default [
  {
    provider: "aws_sns", package: "sns-validator",
    accepts: (r, secret) => validateSns(r.json, publicKey(secret, "pem")),
    tamper: (r) => r.with({ body: Buffer.from(JSON.stringify({ ...r.json, Message: "another" })) }),
  },
  google("google_pubsub_push", { email: pusher, params: { service_account: pusher } }),
  google("google_play_rtdn", { email: pusher, params: { service_account: pusher } }),
  google("google_chat", { email: chat }),
  google("google_chat_project_number", { issuer: chat, audience: "project_number" }),
  {
    provider: "apple_app_store_v2", package: "@apple/app-store-server-library", params: app,
    secret: async (oracle) => {
      const chain = await oracle.chain("apple_app_store_v2"), root = chain.certificates.at(-1);
      chains.set(root, chain);
      return root;
    },
    notSigned: "the chain of certificates is Apple's own", draft: { headers: { "content-type": "application/json" } },
    accepts: async (r, secret) => Boolean(await apple([der(secret)]).verifyAndDecodeNotification(r.json.signedPayload)),
    signs: (r, secret) => {
      const { certificates, key } = chains.get(secret), part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
      const data = { bundleId: app.bundle_id, environment: app.environment };
      const payload = { notificationType: "TEST", notificationUUID: randomUUID(), version: "2.0", signedDate: Date.now(), data };
      const content = `${part({ alg: "ES256", x5c: certificates.map((pem) => der(pem).toString("base64")) })}.${part(payload)}`;
      const signature = createSign("SHA256").update(content).sign({ key, dsaEncoding: "ieee-p1363" }, "base64url");
      return { body: Buffer.from(JSON.stringify({ signedPayload: `${content}.${signature}` })) };
    },
    tamper: (r) => r.with({ body: Buffer.from(r.text.replace(/(\.[\w-]{30})(.)/, (_, head, letter) => head + (letter === "A" ? "B" : "A"))) }),
  },
];
