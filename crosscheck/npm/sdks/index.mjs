// The packages, each with a provider of the catalogue that it is for. An entry has
//   provider, package
//   accepts(request, secret, params): whether the package accepts an Incoming; it may throw instead of answering false.
//   signs(request, secret, params): what the package signs, as changes to the request { headers, url, body }.
// and where the default does not do
//   example: { type, body, headers } of what we sign; draft: the request that the package signs; url: where they go
//   tamper(request): a change that the provider's signature covers, if it does not cover the last word of the body
//   bodyUnsigned: why a changed body is accepted
//   secret(oracle): a secret; params: params of the provider
//   documents(secret), published: the provider publishes its keys; documents has them by address
//   notSigned: why the catalogue cannot sign; then signs() does by the provider's formula, and the package has to accept that too
//   notForwarded: why the gateway cannot sign it for an application, though the catalogue can.
import ai from "./ai.mjs";
import clouds from "./clouds.mjs";
import commerce from "./commerce.mjs";
import identity from "./identity.mjs";
import messaging from "./messaging.mjs";
import payments from "./payments.mjs";
import platforms from "./platforms.mjs";

export const sdks = [...ai, ...clouds, ...commerce, ...identity, ...messaging, ...payments, ...platforms].map((sdk) => ({
  ...sdk,
  accepts: sdk.accepts && (async (request, secret, params) => sdk.accepts(request, secret, params)),
  keys: async (oracle) => {
    const made = await oracle.secret(sdk.provider);
    return { secret: (await sdk.secret?.(oracle)) ?? made.secret, params: { ...made.params, ...sdk.params } };
  },
}));

// Whether a package accepts a request; an error is a no.
export const accepted = async (sdk, request, secret, params) => {
  try {
    return Boolean(await sdk.accepts(request, secret, params));
  } catch {
    return false;
  }
};
