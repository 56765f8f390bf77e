// Every package by itself: what we sign it accepts, what it signs we accept, and neither accepts what was changed or signed with another secret.
import { after, before, suite, test } from "node:test";
import assert from "node:assert/strict";
import { startOracle } from "../lib/oracle.mjs";
import { Incoming } from "../lib/incoming.mjs";
import { sdks, accepted } from "../sdks/index.mjs";

let oracle;
before(() => { oracle = startOracle(); });
after(() => oracle.stop());

const address = (sdk) => sdk.url ?? `http://hooks.example.com/${sdk.provider}`;

suite("what we sign is accepted", () => {
  for (const sdk of sdks.filter((s) => s.accepts && !s.notSigned)) {
    test(`${sdk.provider}: ${sdk.package}`, async () => {
      const { secret, params } = await sdk.keys(oracle), another = await sdk.keys(oracle);
      const request = await oracle.sign(sdk.provider, secret, { params, url: address(sdk), ...sdk.example });
      await sdk.accepts(request, secret, params).then((ok) => assert.ok(ok, "refused"), (error) => assert.fail(error));
      if (!sdk.bodyUnsigned) assert.ok(!(await accepted(sdk, sdk.tamper?.(request) ?? request.tampered(), secret, params)), "a changed request is accepted");
      assert.ok(!(await accepted(sdk, request, another.secret, params)), "what another secret signed is accepted");
    });
  }
});

suite("what the package signs is accepted", () => {
  for (const sdk of sdks.filter((s) => s.signs)) {
    test(`${sdk.provider}: ${sdk.package}`, async () => {
      const { secret, params } = await sdk.keys(oracle), another = await sdk.keys(oracle);
      const draft = sdk.draft
        ? new Incoming({ method: "POST", url: address(sdk), headers: {}, body: Buffer.from(""), ...sdk.draft })
        : await oracle.sign(sdk.provider, secret, { params, url: address(sdk), ...sdk.example });
      const signed = draft.with(await sdk.signs(draft, secret, params));
      if (sdk.accepts) assert.ok(await sdk.accepts(signed, secret, params), "the package refuses it itself");
      const options = { params, documents: await sdk.documents?.(secret) };
      await oracle.verify(sdk.provider, sdk.published ? [] : [secret], signed, options);
      if (!sdk.bodyUnsigned) {
        const tampered = sdk.tamper?.(signed) ?? signed.tampered();
        await assert.rejects(oracle.verify(sdk.provider, sdk.published ? [] : [secret], tampered, options), { reason: "mismatch" });
      }
      await assert.rejects(oracle.verify(sdk.provider, [another.secret], signed, { params }), { reason: "mismatch" });
    });
  }
});
