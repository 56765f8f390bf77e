// Packages of providers of messages: telephone, chat and mail.
import { createRequire } from "node:module";
import { verifySlackRequest } from "@slack/bolt";
import { verifyKey } from "discord-interactions";
import { validateSignature as validateLine } from "@line/bot-sdk";
import { EventWebhook } from "@sendgrid/eventwebhook";
import { Resend } from "resend";
import Telnyx from "telnyx";
import { AccessToken, WebhookReceiver } from "livekit-server-sdk";
import { verifySignature as verifyVonage } from "@vonage/jwt";
import { createHash } from "node:crypto";
import { publicKey } from "../lib/incoming.mjs";

const require = createRequire(import.meta.url);
const twilio = require("twilio");
const plivo = require("plivo");
const pusher = require("pusher");
const zoom = require("@zoom/rivet/meetings");
const lark = require("@larksuiteoapi/node-sdk");
const messagebirdJwt = require("messagebird/lib/webhook-signature-jwt");
const messagebirdKey = require("messagebird/lib/signature");

const slack = (r, secret) => {
  verifySlackRequest({ signingSecret: secret, body: r.text, headers: { "x-slack-signature": r.header("x-slack-signature"), "x-slack-request-timestamp": Number(r.header("x-slack-request-timestamp")) } });
  return true;
};
const discord = (r, secret) => verifyKey(r.body, r.header("x-signature-ed25519"), r.header("x-signature-timestamp"), publicKey(secret, "raw").toString("hex"));

// A middleware for Express, asked without a server.
const passes = (middleware, req) => new Promise((resolve, reject) => {
  const no = () => resolve(false);
  const res = { status: () => res, send: no, sendStatus: no, json: no, end: no, writeHead: () => res, setHeader: () => res };
  middleware(req, res, (error) => (error ? reject(error) : resolve(true)));
});

export default [
  { provider: "slack", package: "@slack/bolt", accepts: slack },
  { provider: "slack_events", package: "@slack/bolt", accepts: slack },
  { provider: "discord_interactions", package: "discord-interactions", accepts: discord },
  { provider: "discord_webhook_events", package: "discord-interactions", accepts: discord },
  { provider: "line", package: "@line/bot-sdk", accepts: (r, secret) => validateLine(r.body, secret, r.header("x-line-signature")) },
  {
    provider: "sendgrid", package: "@sendgrid/eventwebhook",
    accepts: (r, secret) => {
      const webhook = new EventWebhook();
      return webhook.verifySignature(webhook.convertPublicKeyToECDSA(publicKey(secret, "der")), r.body,
        r.header("x-twilio-email-event-webhook-signature"), r.header("x-twilio-email-event-webhook-timestamp"));
    },
  },
  {
    provider: "resend", package: "resend",
    accepts: (r, secret) => new Resend("re_not_used").webhooks.verify({
      payload: r.text, webhookSecret: secret, headers: { id: r.header("svix-id"), timestamp: r.header("svix-timestamp"), signature: r.header("svix-signature") },
    }),
  },
  {
    provider: "telnyx", package: "telnyx",
    accepts: (r, secret) => new Telnyx({ apiKey: "not used" }).webhooks.unwrap(r.text, { headers: r.headers, key: publicKey(secret, "raw").toString("base64") }),
  },
  {
    provider: "livekit", package: "livekit-server-sdk",
    accepts: (r, secret) => new WebhookReceiver(...secret.split(":")).receive(r.text, r.header("authorization")),
    signs: async (r, secret) => {
      const token = new AccessToken(...secret.split(":"));
      token.sha256 = createHash("sha256").update(r.body).digest("base64");
      return { headers: { "content-type": "application/webhook+json", authorization: await token.toJwt() } };
    },
  },
  {
    provider: "vonage", package: "@vonage/jwt",
    accepts: (r, secret) => verifyVonage(r.header("authorization").replace(/^Bearer /, ""), secret),
    bodyUnsigned: "the package does not look at the body",
  },
  {
    provider: "twilio", package: "twilio",
    accepts: (r, secret) => twilio.validateRequest(secret, r.header("x-twilio-signature"), r.url, r.form),
    signs: (r, secret) => ({ headers: { ...r.headers, "x-twilio-signature": twilio.getExpectedTwilioSignature(secret, r.url, r.form) } }),
  },
  {
    provider: "plivo_v3", package: "plivo",
    accepts: (r, secret) => plivo.validateV3Signature(r.method, r.url, r.header("x-plivo-signature-v3-nonce"), secret, r.header("x-plivo-signature-v3"), r.form),
  },
  {
    provider: "pusher", package: "pusher",
    accepts: (r, secret) => {
      const [key, value] = secret.split(":");
      return new pusher({ appId: "1", key, secret: value, cluster: "eu" }).webhook({ headers: r.headers, rawBody: r.text }).isValid();
    },
  },
  {
    provider: "lark_feishu", package: "@larksuiteoapi/node-sdk",
    accepts: async (r, secret) => {
      const dispatcher = new lark.EventDispatcher({ encryptKey: secret, loggerLevel: lark.LoggerLevel.fatal });
      const data = Object.assign(Object.create({ headers: r.headers }), r.json);
      return (await dispatcher.invoke(data)) !== undefined;
    },
  },
  {
    provider: "messagebird_jwt", package: "messagebird",
    accepts: async (r, secret) => {
      await messagebirdJwt.verify(r.url, r.body, r.header("messagebird-signature-jwt"), Buffer.from(secret));
      return true;
    },
    tamper: (r) => r.with({ url: r.url.replace("status=delivered", "status=failed") }),
  },
  {
    provider: "messagebird_legacy", package: "messagebird",
    accepts: (r, secret) => passes(messagebirdKey(secret), { headers: r.headers, query: Object.fromEntries(new URL(r.url).searchParams), body: r.text }),
    tamper: (r) => r.with({ url: r.url.replace("status=delivered", "status=failed") }),
  },
  {
    provider: "zoom", package: "@zoom/rivet",
    accepts: async (r, secret) => {
      const receiver = new zoom.AwsLambdaReceiver({ webhooksSecretToken: secret }), debug = console.debug;
      let emitted = false;
      receiver.init({ eventEmitter: { emit: async () => { emitted = true; } } });
      console.debug = () => {}; // the package prints what it gets
      try {
        const { statusCode } = await receiver.start()({ body: r.text, headers: r.headers, isBase64Encoded: false }, {});
        return statusCode === 200 && emitted;
      } finally {
        console.debug = debug;
      }
    },
  },
];
