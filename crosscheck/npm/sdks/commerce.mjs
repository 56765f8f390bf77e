// Packages of shops, of what sells to them, and of what ships for them.
import { createRequire } from "node:module";
import "@shopify/shopify-api/adapters/node";
import { ApiVersion, shopifyApi } from "@shopify/shopify-api";
import EasyPost from "@easypost/api";
import hubspot from "@hubspot/api-client";
import { AppStrategy, createClient } from "@wix/sdk";
import { publicKey } from "../lib/incoming.mjs";

const require = createRequire(import.meta.url);
const smartcar = require("smartcar");
const ebay = require("event-notification-nodejs-sdk/lib/validator");
const ebayKeys = require("event-notification-nodejs-sdk/lib/client");

const shopify = (secret) => shopifyApi({
  apiKey: "key", apiSecretKey: secret, apiVersion: Object.values(ApiVersion).at(-1), hostName: "hooks.example.com", isEmbeddedApp: false,
  logger: { log: async () => {} },
});

// A token as the body: a change in the middle of its payload.
const lastLetter = (r) => {
  const body = Buffer.from(r.body), middle = body.length >> 1;
  body[middle] = body[middle] === 0x61 ? 0x62 : 0x61;
  return r.with({ body });
};

export default [
  {
    provider: "shopify", package: "@shopify/shopify-api",
    accepts: async (r, secret) => (await shopify(secret).webhooks.validate({ rawBody: r.text, rawRequest: { method: r.method, url: r.url, headers: r.headers }, rawResponse: {} })).valid,
  },
  {
    provider: "easypost", package: "@easypost/api",
    accepts: (r, secret) => EasyPost.Util?.validateWebhook?.(r.body, r.headers, secret) ?? new EasyPost("not used").Utils.validateWebhook(r.body, r.headers, secret),
  },
  {
    provider: "hubspot_v1", package: "@hubspot/api-client",
    accepts: (r, secret) => hubspot.Signature.isValid({ signatureVersion: "v1", signature: r.header("x-hubspot-signature"), clientSecret: secret, requestBody: r.text, method: r.method }),
    signs: (r, secret) => ({ headers: { ...r.headers, "x-hubspot-signature": hubspot.Signature.getSignature(r.method, "v1", { clientSecret: secret, requestBody: r.text }) } }),
  },
  {
    provider: "hubspot_v3", package: "@hubspot/api-client",
    accepts: (r, secret) => hubspot.Signature.isValid({
      signatureVersion: "v3", signature: r.header("x-hubspot-signature-v3"), timestamp: Number(r.header("x-hubspot-request-timestamp")),
      clientSecret: secret, requestBody: r.text, url: r.url, method: r.method,
    }),
    signs: (r, secret) => {
      const timestamp = Date.now();
      const signature = hubspot.Signature.getSignature(r.method, "v3", { clientSecret: secret, requestBody: r.text, url: r.url, timestamp });
      return { headers: { ...r.headers, "x-hubspot-signature-v3": signature, "x-hubspot-request-timestamp": String(timestamp) } };
    },
  },
  {
    provider: "smartcar", package: "smartcar",
    accepts: (r, secret) => smartcar.verifyPayload(secret, r.header("sc-signature"), r.json),
    signs: (r, secret) => ({ headers: { ...r.headers, "sc-signature": smartcar.hashChallenge(secret, r.text) } }),
  },
  {
    provider: "wix", package: "@wix/sdk",
    accepts: async (r, secret) => Boolean(await createClient({ auth: AppStrategy({ appId: "app", publicKey: publicKey(secret, "pem") }) }).webhooks.process(r.text)),
    tamper: lastLetter,
  },
  {
    provider: "ebay", package: "event-notification-nodejs-sdk",
    accepts: async (r, secret) => {
      ebayKeys.getPublicKey = async () => ({ key: publicKey(secret, "pem").replaceAll("\n", "") }); // in place of eBay's API
      return await ebay.validateSignature(r.json, r.header("x-ebay-signature"), {});
    },
  },
];
