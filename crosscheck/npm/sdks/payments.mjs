// Packages of payment providers.
import { createRequire } from "node:module";
import Stripe from "stripe";
import { WebhooksHelper } from "square";
import { Environment as PaddleEnvironment, Paddle } from "@paddle/paddle-node-sdk";
import Razorpay from "razorpay";
import { basicAuthValidator } from "chargebee";
import { parse as parseGoCardless } from "gocardless-nodejs";
import Lithic from "lithic";
import ModernTreasury from "modern-treasury";
import Orb from "orb-billing";
import Metronome from "@metronome/sdk";
import { WebhookSignatureValidator as MercadoPago } from "mercadopago";
import DodoPayments from "dodopayments";
import * as polar from "@polar-sh/sdk/webhooks";
import * as truelayer from "truelayer-signing";
import { publicKey } from "../lib/incoming.mjs";

const require = createRequire(import.meta.url);
const adyen = require("@adyen/api-library");
const braintree = require("braintree");
const coinbase = require("coinbase-commerce-node");
const worldline = require("connect-sdk-nodejs");

const stripe = new Stripe("sk_test_not_used");
const adyenHmac = new adyen.hmacValidator();
const adyenItem = (request) => request.json.notificationItems[0].NotificationRequestItem;

const gateway = (secret) => {
  const [publicKey, privateKey] = secret.split(":");
  return new braintree.BraintreeGateway({ environment: braintree.Environment.Sandbox, merchantId: "merchant", publicKey, privateKey });
};

export default [
  {
    provider: "stripe", package: "stripe",
    accepts: (r, secret) => stripe.webhooks.constructEvent(r.body, r.header("stripe-signature"), secret),
    signs: (r, secret) => ({ headers: { "stripe-signature": stripe.webhooks.generateTestHeaderString({ payload: r.text, secret }) } }),
  },
  {
    provider: "square", package: "square",
    accepts: (r, secret) => WebhooksHelper.verifySignature({
      requestBody: r.text, signatureHeader: r.header("x-square-hmacsha256-signature"), signatureKey: secret, notificationUrl: r.url,
    }),
  },
  {
    provider: "paddle", package: "@paddle/paddle-node-sdk",
    accepts: async (r, secret) => {
      const paddle = new Paddle("pdl_not_used", { environment: PaddleEnvironment.sandbox });
      return await paddle.webhooks.isSignatureValid(r.text, secret, r.header("paddle-signature"));
    },
  },
  {
    provider: "razorpay", package: "razorpay",
    accepts: (r, secret) => Razorpay.validateWebhookSignature(r.text, r.header("x-razorpay-signature"), secret),
  },
  {
    provider: "adyen_payments", package: "@adyen/api-library",
    accepts: (r, secret) => adyenHmac.validateHMAC(adyenItem(r), secret),
    signs: (r, secret) => {
      const body = r.json, item = body.notificationItems[0].NotificationRequestItem;
      item.additionalData = { ...item.additionalData, hmacSignature: adyenHmac.calculateHmac(item, secret) };
      return { body: Buffer.from(JSON.stringify(body)) };
    },
    tamper: (r) => {
      const body = r.json;
      body.notificationItems[0].NotificationRequestItem.amount.value += 1;
      return r.with({ body: Buffer.from(JSON.stringify(body)) });
    },
  },
  {
    provider: "adyen_platform", package: "@adyen/api-library",
    accepts: (r, secret) => adyenHmac.validateHMACSignature(secret, r.header("hmacsignature"), r.text),
    signs: (r, secret) => ({ headers: { ...r.headers, hmacsignature: adyenHmac.calculateHmac(r.text, secret) } }),
  },
  {
    provider: "braintree", package: "braintree",
    accepts: async (r, secret) => Boolean(await gateway(secret).webhookNotification.parse(r.form.bt_signature, r.form.bt_payload)),
    signs: (r, secret) => {
      const sample = gateway(secret).webhookTesting.sampleNotification(braintree.WebhookNotification.Kind.SubscriptionWentPastDue, "subscription");
      return { headers: { "content-type": "application/x-www-form-urlencoded" }, body: Buffer.from(new URLSearchParams(sample).toString()) };
    },
    tamper: (r) => {
      const { bt_signature, bt_payload } = r.form;
      const xml = Buffer.from(bt_payload, "base64").toString().replace(/<kind>./, "<kind>x");
      return r.with({ body: Buffer.from(new URLSearchParams({ bt_signature, bt_payload: Buffer.from(xml).toString("base64") }).toString()) });
    },
  },
  {
    provider: "coinbase_commerce", package: "coinbase-commerce-node",
    accepts: (r, secret) => coinbase.Webhook.verifyEventBody(r.text, r.header("x-cc-webhook-signature"), secret),
    signs: (r, secret) => ({ headers: { ...r.headers, "x-cc-webhook-signature": coinbase.Webhook.computeSignature(r.text, secret) } }),
  },
  {
    provider: "worldline_connect", package: "connect-sdk-nodejs",
    accepts: async (r, secret) => {
      const [id, key] = secret.split(":");
      const keys = { getSecretKey: async (asked) => { if (asked !== id) throw new Error("unknown key"); return key; } };
      return Boolean(await worldline.webhooks.v1.init(keys).unmarshal(r.body, r.headers));
    },
  },
  {
    provider: "chargebee", package: "chargebee",
    accepts: async (r, secret) => {
      const [user, password] = secret.split(":");
      await basicAuthValidator((u, p) => u === user && p === password)(r.headers);
      return true;
    },
    bodyUnsigned: "the password vouches for the request, not for its body",
  },
  {
    provider: "gocardless", package: "gocardless-nodejs",
    accepts: (r, secret) => parseGoCardless(r.text, secret, r.header("webhook-signature")),
  },
  {
    provider: "lithic", package: "lithic",
    accepts: (r, secret) => new Lithic({ apiKey: "not used" }).webhooks.unwrap(r.text, r.headers, secret),
  },
  {
    provider: "modern_treasury", package: "modern-treasury",
    accepts: (r, secret) => new ModernTreasury({ apiKey: "", organizationID: "" }).webhooks.validateSignature(r.text, r.headers, { key: secret }),
    signs: (r, secret) => ({ headers: { ...r.headers, "x-signature": new ModernTreasury({ apiKey: "", organizationID: "" }).webhooks.getSignature(r.text, { key: secret }) } }),
  },
  {
    provider: "orb", package: "orb-billing",
    accepts: (r, secret) => new Orb({ apiKey: "not used" }).webhooks.unwrap(r.text, r.headers, secret),
  },
  {
    provider: "mercadopago", package: "mercadopago",
    accepts: (r, secret) => {
      MercadoPago.validate({ xSignature: r.header("x-signature"), xRequestId: r.header("x-request-id"), dataId: new URL(r.url).searchParams.get("data.id"), secret });
      return true;
    },
    tamper: (r) => r.with({ url: r.url.replace("data.id=1", "data.id=2") }), // only ids are signed
  },
  {
    provider: "metronome", package: "@metronome/sdk",
    accepts: (r, secret) => new Metronome({ bearerToken: "not used" }).webhooks.unwrap(r.text, r.headers, secret),
  },
  {
    provider: "dodo_payments", package: "dodopayments",
    accepts: (r, secret) => new DodoPayments({ bearerToken: "not used" }).webhooks.unwrap(r.text, { headers: r.headers, key: secret }),
  },
  {
    provider: "polar", package: "@polar-sh/sdk",
    accepts: async (r, secret) => {
      try {
        return Boolean(await polar.validateEvent(r.body, r.headers, secret));
      } catch (error) { // the signature is checked first; the example is not a whole event
        if (error instanceof polar.WebhookVerificationError) throw error;
        return true;
      }
    },
  },
  {
    provider: "truelayer", package: "truelayer-signing",
    accepts: (r, secret) => {
      truelayer.verify({
        publicKeyPem: publicKey(secret, "pem"), signature: r.header("tl-signature"), method: r.method, path: r.path, body: r.text, headers: r.headers,
      });
      return true;
    },
    signs: (r, secret) => {
      const headers = { "x-tl-webhook-timestamp": new Date().toISOString() };
      const signature = truelayer.sign({ kid: "key", privateKeyPem: secret, method: "POST", path: r.path, headers: { "X-Tl-Webhook-Timestamp": headers["x-tl-webhook-timestamp"] }, body: r.text });
      return { headers: { "content-type": "application/json", ...headers, "tl-signature": signature } };
    },
  },
];
