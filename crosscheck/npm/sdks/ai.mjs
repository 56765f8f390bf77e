// Packages of providers of models and agents.
import OpenAI from "openai";
import { validateWebhook } from "replicate";
import { ElevenLabsClient } from "@elevenlabs/elevenlabs-js";
import Retell from "retell-sdk";
import { Composio, ComposioWebhookPayloadError } from "@composio/core";

const composio = new Composio({ apiKey: "not used", allowTracking: false });

export default [
  {
    provider: "openai", package: "openai",
    accepts: (r, secret) => new OpenAI({ apiKey: "not used" }).webhooks.unwrap(r.text, r.headers, secret),
  },
  {
    provider: "replicate", package: "replicate",
    accepts: (r, secret) => validateWebhook({ id: r.header("webhook-id"), timestamp: r.header("webhook-timestamp"), signature: r.header("webhook-signature"), body: r.text, secret }),
  },
  {
    provider: "elevenlabs", package: "@elevenlabs/elevenlabs-js",
    accepts: (r, secret) => new ElevenLabsClient({ apiKey: "not used" }).webhooks.constructEvent(r.text, r.header("elevenlabs-signature"), secret),
  },
  {
    provider: "retell", package: "retell-sdk",
    accepts: (r, secret) => Retell.verify(r.text, secret, r.header("x-retell-signature")),
    signs: async (r, secret) => ({ headers: { ...r.headers, "x-retell-signature": await Retell.sign(r.text, secret) } }),
  },
  {
    provider: "composio", package: "@composio/core",
    accepts: async (r, secret) => {
      try {
        const { payload } = await composio.triggers.verifyWebhook({ payload: r.text, id: r.header("webhook-id"), timestamp: r.header("webhook-timestamp"), signature: r.header("webhook-signature"), secret });
        return Boolean(payload);
      } catch (error) { // the signature is checked first; the example is not a whole event
        if (error instanceof ComposioWebhookPayloadError) return true;
        throw error;
      }
    },
  },
];
