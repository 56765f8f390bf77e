// Every package that verifies, in an application behind the gateway: the gateway takes the provider's event with the provider's secret and forwards it signed as
// the provider signs, with the application's. The application knows nothing of the gateway.
import { after, before, suite, test } from "node:test";
import assert from "node:assert/strict";
import { startOracle } from "../lib/oracle.mjs";
import { startApplication, startGateway } from "../lib/gateway.mjs";
import { sdks, accepted } from "../sdks/index.mjs";

const forwarded = sdks.filter((sdk) => sdk.accepts && !sdk.notSigned && !sdk.notForwarded);
const name = (sdk) => `${sdk.provider}--${sdk.package.replaceAll(/[^a-z0-9]/g, "-")}`;

let oracle, application, gateway;
const keys = new Map();
before(async () => {
  oracle = startOracle();
  application = await startApplication();
  const sources = [];
  for (const sdk of forwarded) {
    const { secret, params } = await sdk.keys(oracle), { secret: own } = await sdk.keys(oracle);
    keys.set(sdk, { secret, own, params });
    sources.push({ name: name(sdk), provider: sdk.provider, params, secret, forwards: [{ to: `${application.origin}/${name(sdk)}`, secret: own }] });
  }
  gateway = await startGateway(sources);
});
after(async () => {
  await gateway?.stop();
  await application.stop();
  await oracle.stop();
});

suite("what the gateway forwards is accepted", () => {
  for (const sdk of forwarded) {
    test(`${sdk.provider}: ${sdk.package}`, { timeout: 60_000 }, async () => {
      const { secret, own, params } = keys.get(sdk);
      const { status, text } = await gateway.send(await oracle.sign(sdk.provider, secret, { params, ...sdk.example, url: `http://hooks.example.com/${name(sdk)}` }));
      assert.ok(status >= 200 && status < 300, `the gateway answers ${status} ${text}`);
      const arrived = await application.next(name(sdk));
      await sdk.accepts(arrived, own, params).then((ok) => assert.ok(ok, "refused"), (error) => assert.fail(error));
      assert.ok(!(await accepted(sdk, arrived, secret, params)), "accepted with the provider's secret, which the application need not know");
      if (!sdk.bodyUnsigned) assert.ok(!(await accepted(sdk, sdk.tamper?.(arrived) ?? arrived.tampered(), own, params)), "a changed request is accepted");
    });
  }
});
