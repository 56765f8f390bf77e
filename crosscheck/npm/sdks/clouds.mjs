// Packages of clouds, which sign with keys that they publish. The keys come from a test's own key pair in place of the cloud's server.
import { createRequire } from "node:module";
import https from "node:https";
import { Readable } from "node:stream";
import { EventEmitter } from "node:events";
import { JWTAccess, OAuth2Client } from "google-auth-library";
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
const issuer = "https://accounts.google.com", kid = "key";
const google = (provider, audience, email) => ({
  provider, package: "google-auth-library", published: true, bodyUnsigned: "the token vouches for the request, not for its body",
  params: email === "service_account" ? { service_account: "push@project.iam.gserviceaccount.com" } : {},
  documents: (secret) => ({ "https://www.googleapis.com/oauth2/v3/certs": JSON.stringify({ keys: [{ ...publicKey(secret, "jwk"), kid, alg: "RS256", use: "sig" }] }) }),
  signs: async (r, secret, params) => {
    const claims = { email: email === "service_account" ? params.service_account : email, email_verified: true };
    const authorization = new JWTAccess(issuer, secret, kid).getRequestHeaders(params[audience], claims).get("authorization");
    await new OAuth2Client().verifySignedJwtWithCertsAsync(authorization.replace("Bearer ", ""), { [kid]: publicKey(secret, "pem") }, params[audience], [issuer]);
    return { headers: { ...r.headers, authorization } };
  },
});

export default [
  {
    provider: "aws_sns", package: "sns-validator",
    accepts: (r, secret) => validateSns(r.json, publicKey(secret, "pem")),
    tamper: (r) => r.with({ body: Buffer.from(JSON.stringify({ ...r.json, Message: "another" })) }),
  },
  google("google_pubsub_push", "audience", "service_account"),
  google("google_play_rtdn", "audience", "service_account"),
  google("google_chat", "audience", "chat@system.gserviceaccount.com"),
];
