// Packages of platforms: code, content, media, and webhooks themselves.
import { createRequire } from "node:module";
import * as octokit from "@octokit/webhooks-methods";
import { Webhook as Svix } from "svix";
import { Webhook as Standard } from "standardwebhooks";
import * as contentful from "@contentful/node-apps-toolkit";
import * as sanity from "@sanity/webhook";
import { LinearWebhookClient } from "@linear/sdk/webhooks";
import Mux from "@mux/mux-node";
import { WebhookHandler } from "@liveblocks/node";
import { verifyPlainWebhook } from "@team-plain/typescript-sdk";
import { WebflowClient } from "webflow-api";
import * as atlassian from "atlassian-jwt";

const require = createRequire(import.meta.url);
const { v2: cloudinary } = require("cloudinary");
const { EventCallbackHelper, EventCallbackRequest } = require("@dropbox/sign");
const BoxSDK = require("box-node-sdk").default ?? require("box-node-sdk");
const hook0 = require("hook0-client");

// What a library of Svix' or of Standard Webhooks signs, in headers that begin with prefix.
const message = (webhook, prefix) => (r) => {
  const id = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W", at = new Date();
  return { headers: { "content-type": "application/json", [`${prefix}-id`]: id, [`${prefix}-timestamp`]: String(Math.floor(at / 1000)), [`${prefix}-signature`]: webhook.sign(id, at, r.text) } };
};

// What Contentful's package wants of a request.
const canonical = ({ method, url, headers, text }) => {
  const { pathname, search } = new URL(url);
  return { method, path: pathname + search, headers, body: text };
};

export default [
  {
    provider: "github", package: "@octokit/webhooks-methods",
    accepts: (r, secret) => octokit.verify(secret, r.text, r.header("x-hub-signature-256")),
    signs: async (r, secret) => ({ headers: { ...r.headers, "x-hub-signature-256": await octokit.sign(secret, r.text) } }),
  },
  { provider: "svix", package: "svix", accepts: (r, secret) => new Svix(secret).verify(r.text, r.headers), signs: (r, secret) => message(new Svix(secret), "svix")(r) },
  { provider: "standard", package: "standardwebhooks", accepts: (r, secret) => new Standard(secret).verify(r.text, r.headers), signs: (r, secret) => message(new Standard(secret), "webhook")(r) },
  { provider: "standard_webhooks", package: "standardwebhooks", accepts: (r, secret) => new Standard(secret).verify(r.text, r.headers), signs: (r, secret) => message(new Standard(secret), "webhook")(r) },
  {
    provider: "contentful", package: "@contentful/node-apps-toolkit",
    accepts: (r, secret) => contentful.verifyRequest(secret, canonical(r), 30),
    signs: (r, secret) => ({ headers: { ...r.headers, ...contentful.signRequest(secret, canonical({ ...r, text: r.text, headers: { "content-type": r.header("content-type") } })) } }),
  },
  {
    provider: "sanity", package: "@sanity/webhook",
    accepts: (r, secret) => sanity.isValidSignature(r.text, r.header("sanity-webhook-signature"), secret),
    signs: async (r, secret) => ({ headers: { ...r.headers, "sanity-webhook-signature": await sanity.encodeSignatureHeader(r.text, Date.now(), secret) } }),
  },
  {
    provider: "linear", package: "@linear/sdk",
    accepts: (r, secret) => new LinearWebhookClient(secret).verify(r.body, r.header("linear-signature"), r.json.webhookTimestamp),
  },
  {
    provider: "mux", package: "@mux/mux-node",
    accepts: (r, secret) => new Mux({ tokenId: "not used", tokenSecret: "not used" }).webhooks.unwrap(r.text, r.headers, secret),
  },
  {
    provider: "liveblocks", package: "@liveblocks/node",
    accepts: (r, secret) => new WebhookHandler(secret).verifyRequest({ headers: r.headers, rawBody: r.text }),
  },
  {
    provider: "plain", package: "@team-plain/typescript-sdk",
    accepts: (r, secret) => {
      const { error } = verifyPlainWebhook(r.text, r.header("plain-request-signature"), secret);
      return !error || !/signature|timestamp/i.test(`${error.constructor.name} ${error.message}`);
    },
  },
  {
    provider: "webflow", package: "webflow-api",
    accepts: (r, secret) => new WebflowClient({ accessToken: "not used" }).webhooks.verifySignature({ headers: r.headers, body: r.text, secret }),
  },
  {
    provider: "cloudinary", package: "cloudinary",
    accepts: (r, secret) => {
      cloudinary.config({ api_secret: secret });
      return cloudinary.utils.verifyNotificationSignature(r.text, Number(r.header("x-cld-timestamp")), r.header("x-cld-signature"));
    },
  },
  {
    provider: "dropbox_sign", package: "@dropbox/sign",
    accepts: async (r, secret) => EventCallbackHelper.isValid(secret, EventCallbackRequest.init(JSON.parse((await r.fields()).json))),
    tamper: (r) => r.with({ body: Buffer.from(r.text.replace("signature_request_sent", "signature_request_signed")) }),
  },
  {
    provider: "box", package: "box-node-sdk",
    accepts: (r, secret) => BoxSDK.validateWebhookMessage(r.text, r.headers, secret),
  },
  {
    provider: "hook0_v0", package: "hook0-client",
    accepts: (r, secret) => hook0.verifyWebhookSignature(r.header("x-hook0-signature"), r.body, new Headers(r.headers), secret, 300),
  },
  {
    provider: "jira_connect", package: "atlassian-jwt",
    signs: (r, secret) => {
      const [clientKey, shared] = secret.split(":"), now = Math.floor(Date.now() / 1000);
      const qsh = atlassian.createQueryStringHash(atlassian.fromMethodAndUrl(r.method, r.url));
      const token = atlassian.encodeSymmetric({ iss: clientKey, iat: now, exp: now + 180, qsh }, shared, atlassian.SymmetricAlgorithm.HS256);
      return { headers: { ...r.headers, authorization: `JWT ${token}` } };
    },
    bodyUnsigned: "the token binds method and address",
  },
];
