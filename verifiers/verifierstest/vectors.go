package verifierstest

import (
	"context"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// genuine is a request that must verify, with what it takes.
type genuine struct {
	p       *verifiers.Provider
	spec    *verifiers.Spec
	r       *verifiers.Request
	secrets []verifiers.Secret
	proof   verifiers.Proof
}

// testVector runs everything that a genuine request allows to be tested.
func testVector(t *testing.T, spec *verifiers.Spec, v *verifiers.Vector) {
	g := genuine{p: compile(t, spec, v.Params, v.Documents), spec: spec, secrets: secretsOf(v.Secret)}
	g.r = request(t, v.Method, v.URL, v.Headers, v.Body)
	g.r.At = vectorTime(t, spec, v, g)
	g.proof = mustAccept(t, g.p, g.r, g.secrets, "vector")
	if v.Secret != "" && g.proof.SecretIndex != 0 && (spec.JWT == nil || spec.JWT.X5C == nil) {
		t.Errorf("secret index %d, expected 0", g.proof.SecretIndex)
	}
	testIdentity(t, g, v)
	testGenuine(t, g)
	if len(v.Documents) > 0 {
		testOutage(t, g, v)
	}
}

// vectorTime is when a vector arrived: as it says, else the time it was signed.
func vectorTime(t *testing.T, spec *verifiers.Spec, v *verifiers.Vector, g genuine) time.Time {
	t.Helper()
	if v.At != "" {
		at, err := time.Parse(time.RFC3339, v.At)
		if err != nil {
			t.Fatalf("at: %v", err)
		}
		return at
	}
	if spec.Timestamp.In == "" && spec.Scheme != verifiers.SchemeStandard && spec.Signature.Format == "" {
		return now
	}
	untimed := withParams(spec, v.Params)
	untimed.Timestamp.Past, untimed.Timestamp.Future = verifiers.Off.Ptr(), verifiers.Off.Ptr()
	proof := mustAccept(t, compile(t, untimed, v.Params, v.Documents), g.r, g.secrets, "vector at any time")
	if proof.SignedAt.IsZero() {
		return now
	}
	return proof.SignedAt
}

// testIdentity compares what a vector must be identified as.
func testIdentity(t *testing.T, g genuine, v *verifiers.Vector) {
	if v.EventID == "" && v.EventType == "" && v.DedupKey == "" {
		return
	}
	ids, err := g.p.Identify(g.r, false)
	if err != nil || len(ids) != 1 {
		t.Fatalf("identified as %v: %v", ids, err)
	}
	for _, c := range []struct{ what, want, got string }{
		{"event id", v.EventID, ids[0].EventID}, {"event type", v.EventType, ids[0].Type}, {"dedup key", v.DedupKey, ids[0].DedupKey},
	} {
		if c.want != "" && c.want != c.got {
			t.Errorf("%s %q, expected %q", c.what, c.got, c.want)
		}
	}
}

// testGenuine changes a genuine request in every way that must make it a false one.
func testGenuine(t *testing.T, g genuine) {
	if g.spec.Scheme == verifiers.SchemeNone {
		return
	}
	testBodyBytes(t, g)
	testSignatureBytes(t, g)
	testSignedParts(t, g)
	testRepeated(t, g)
	testSecretBytes(t, g)
	testHeaders(t, g)
	testSecrets(t, g)
	testTimes(t, g)
}

// testOutage checks that keys which cannot be had are not taken for a bad signature.
func testOutage(t *testing.T, g genuine, v *verifiers.Vector) {
	p := compile(t, g.spec, v.Params, nil)
	if err := verify(p, g.r, nil); !isAny(err, verifiers.ErrKeysUnavailable) {
		t.Errorf("without the keys: %v, expected ErrKeysUnavailable", err)
	}
}

// testSecrets rotates: any live secret counts, wherever it stands; an empty one never does.
func testSecrets(t *testing.T, g genuine) {
	empty := verifiers.NewSecret(nil)
	if g.p.CheckSecret(empty) == nil {
		t.Error("an empty secret passes the check of the configuration")
	}
	if len(g.secrets) == 0 {
		return
	}
	mustRefuse(t, g.p, g.r, []verifiers.Secret{empty}, "with an empty secret")
	if g.spec.KeySource == nil && (g.spec.JWT == nil || g.spec.JWT.X5C == nil) {
		mustRefuse(t, g.p, g.r, nil, "without any secret")
	}
	other, ok := otherSecret(g.spec, string(g.secrets[0].Bytes()))
	if !ok {
		return
	}
	wrong := verifiers.NewSecret([]byte(other))
	mustRefuse(t, g.p, g.r, []verifiers.Secret{wrong}, "with another secret")
	if g.proof.SecretIndex < 0 {
		return
	}
	for i, secrets := range [][]verifiers.Secret{
		{g.secrets[0], wrong}, {wrong, g.secrets[0]}, {wrong, empty, g.secrets[0], wrong},
	} {
		proof, err := g.p.Verify(context.Background(), g.r, secrets)
		if want := []int{0, 1, 2}[i]; err != nil || proof.SecretIndex != want {
			t.Errorf("secret %d of %d: matched %d: %v", want, len(secrets), proof.SecretIndex, err)
		}
	}
}

// testTimes moves the arrival to the limits of the tolerance, just inside and just outside of them.
func testTimes(t *testing.T, g genuine) {
	if g.proof.SignedAt.IsZero() {
		return
	}
	past, future := g.p.Tolerance()
	r := clone(g.r)
	check := func(at time.Time, ok bool, what string) {
		t.Helper()
		r.At = at
		err := verify(g.p, r, g.secrets)
		if ok && err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if !ok && !isAny(err, verifiers.ErrStale) {
			t.Errorf("%s: %v, expected ErrStale", what, err)
		}
	}
	signed := g.proof.SignedAt
	tokens := g.spec.Scheme == verifiers.SchemeJWT || g.spec.Scheme == verifiers.SchemeRSACert // have limits of their own
	if past >= 0 {
		check(signed.Add(past.Std()), true, "at the limit of the past")
		check(signed.Add(past.Std()-time.Millisecond), true, "just inside the limit of the past")
		check(signed.Add(past.Std()+time.Millisecond), false, "just outside the limit of the past")
	} else if !tokens {
		check(signed.AddDate(20, 0, 0), true, "20 years old without a limit")
	}
	if future >= 0 {
		check(signed.Add(-future.Std()), true, "at the limit of the future")
		check(signed.Add(-future.Std()+time.Millisecond), true, "just inside the limit of the future")
		check(signed.Add(-future.Std()-time.Millisecond), false, "just outside the limit of the future")
	} else if !tokens {
		check(signed.AddDate(-20, 0, 0), true, "20 years ahead without a limit")
	}
}
