package verifiers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Diagnosis says why a request does not verify.
type Diagnosis struct {
	// Reason is the short name of the refusal, as in [Reason]; empty if the request verifies.
	Reason string `json:"reason,omitempty"`
	// Error is what the refusal says.
	Error string `json:"error,omitempty"`
	// Findings are what would make it verify, and what else is conspicuous; what was proved comes first.
	Findings []Finding `json:"findings,omitempty"`
}

// Finding is one cause. It holds no secret and nothing of the payload.
type Finding struct {
	// Code is a stable name: other_secret, previous_secret, secret_form, body, url, clock_skew, check, signed_content, algorithm, encoding,
	// header_absent, header_renamed, header_at_risk, header_repeated, legacy_signature, other_version, body_empty, content_encoding.
	Code string `json:"code"`
	// Text says it in one sentence.
	Text string `json:"text"`
	// Proved findings were tried: with this one change the signature is right. The others are hints.
	Proved bool `json:"proved"`
}

// NamedSecret is a secret that is not live for the source of a request, and what it is.
type NamedSecret struct {
	Name     string // in words, for the finding: "source billing"
	Previous bool   // it was a live secret of the same source before
	Secret   Secret
}

// Bounds of one diagnosis: it runs beside the traffic, over input that strangers chose.
const (
	maxExperiments     = 400
	maxExperimentBytes = 64 << 20
	maxNamedSecrets    = 64
)

// diagnostician tries one change after another.
type diagnostician struct {
	ctx         context.Context
	p           *Provider
	r           *Request
	secrets     []Secret
	experiments int
	bytes       int
	out         Diagnosis
}

// Diagnose finds out why r does not verify with the live secrets. others are secrets to suspect. It is pure and slow: it belongs off the path of a request, and ends early
// when ctx does.
func (p *Provider) Diagnose(ctx context.Context, r *Request, secrets []Secret, others []NamedSecret) Diagnosis {
	d := &diagnostician{ctx: ctx, p: p, r: r, secrets: secrets}
	_, err := p.Verify(ctx, r, secrets)
	if err == nil {
		return d.out
	}
	// A provider of its own, so that the secrets that are tried do not stay in the cache of the one that serves traffic.
	if own, compileErr := Compile(p.spec, WithKeyFetcher(p.fetcher)); compileErr == nil {
		d.p = own
	}
	d.out.Reason, d.out.Error = Reason(err), err.Error()
	switch {
	case errors.Is(err, ErrUnsigned):
		d.headers()
	case errors.Is(err, ErrMalformed):
		d.headers()
		d.schemes()
	case errors.Is(err, ErrStale):
		d.clock()
	case errors.Is(err, ErrMismatch):
		d.mismatch(others)
	}
	d.content()
	slices.SortStableFunc(d.out.Findings, func(a, b Finding) int {
		switch {
		case a.Proved == b.Proved:
			return 0
		case a.Proved:
			return -1
		}
		return 1
	})
	return d.out
}

// mismatch tries everything that a right signature over something else can come from.
func (d *diagnostician) mismatch(others []NamedSecret) {
	if d.genuine(d.p, d.r, d.secrets) {
		d.found("check", true, "the signature is right, but %s", strings.TrimPrefix(d.out.Error, ErrMismatch.Error()+": "))
		return
	}
	d.otherSecrets(others)
	d.secretForms()
	d.bodies()
	d.addresses()
	d.schemes()
	d.headers()
}

func (d *diagnostician) found(code string, proved bool, format string, args ...any) {
	f := Finding{Code: code, Text: fmt.Sprintf(format, args...), Proved: proved}
	if !slices.Contains(d.out.Findings, f) {
		d.out.Findings = append(d.out.Findings, f)
	}
}

// genuine tells whether the signature alone is right: without tolerance and checks.
func (d *diagnostician) genuine(p *Provider, r *Request, secrets []Secret) bool {
	d.experiments++
	d.bytes += len(r.Body)
	if d.experiments > maxExperiments || d.bytes > maxExperimentBytes || d.ctx.Err() != nil {
		return false
	}
	a := newAttempt(p, r)
	defer a.release()
	_, err := p.scheme.verify(d.ctx, a, secrets)
	// An expired token has been verified before its times were looked at.
	return err == nil || errors.Is(err, ErrStale)
}

// exhausted tells that no more may be tried.
func (d *diagnostician) exhausted() bool {
	return d.experiments >= maxExperiments || d.bytes >= maxExperimentBytes || d.ctx.Err() != nil
}

// variant compiles the provider with something changed; nil if that makes no sense.
func (d *diagnostician) variant(override *Spec) *Provider {
	p, err := Compile(d.p.spec.Merge(override), WithKeyFetcher(d.p.fetcher))
	if err != nil {
		return nil
	}
	return p
}

// clock says how far the clocks are apart.
func (d *diagnostician) clock() {
	a := newAttempt(d.p, d.r)
	defer a.release()
	proof, err := d.p.scheme.verify(d.ctx, a, d.secrets)
	if err != nil || proof.SignedAt.IsZero() {
		d.found("clock_skew", false, "the token was expired or not valid yet when it arrived")
		return
	}
	skew := d.r.At.Sub(proof.SignedAt).Round(time.Second)
	past, future := d.p.Tolerance()
	if skew >= 0 {
		d.found("clock_skew", true, "signed %s before it arrived, %s is allowed: a late retry, a replay, or a clock that is ahead here", skew, past)
		return
	}
	d.found("clock_skew", true, "signed %s after it arrived, %s is allowed: the clock here is behind", -skew, future)
}

// otherSecrets tries secrets that are known but not live here.
func (d *diagnostician) otherSecrets(others []NamedSecret) {
	for _, o := range others[:min(len(others), maxNamedSecrets)] {
		switch {
		case !d.genuine(d.p, d.r, []Secret{o.Secret}):
		case o.Previous:
			d.found("previous_secret", true, "signed with a previous secret (%s): give both while the provider is switching over", o.Name)
		default:
			d.found("other_secret", true, "signed with the secret of %s", o.Name)
		}
	}
}

// secretForms tries the same secrets written or decoded differently.
func (d *diagnostician) secretForms() {
	for _, s := range d.secrets {
		text := string(s.value)
		for _, c := range []struct{ text, what string }{
			{strings.TrimSpace(text), "without the blanks or line break around the secret"},
			{strings.Trim(text, `"'`), "without the quotes around the secret"},
			{strings.TrimPrefix(text, "whsec_"), "without whsec_ in front of the secret"},
			{"whsec_" + text, "with whsec_ in front of the secret"},
			{strings.ToLower(text), "with the secret in lower case"},
			{strings.TrimSuffix(text, "\n") + "\n", "with a line break after the secret"},
		} {
			if c.text != text && c.text != "" && d.genuine(d.p, d.r, []Secret{NewSecret([]byte(c.text))}) {
				d.found("secret_form", true, "right %s", c.what)
			}
		}
	}
	if s := d.p.spec.Scheme; s != SchemeHMAC && s != SchemeStandard {
		return
	}
	for _, decode := range []string{"raw", "base64", "base64url", "hex"} {
		for _, prefix := range []string{"", "whsec_"} {
			override := *d.p.spec
			override.Key.Decode, override.Key.StripPrefix, override.Key.DecodePrefix = decode, prefix, ""
			p, err := Compile(&override)
			if err != nil || override.Key == d.p.spec.Key || !d.genuine(p, d.r, d.secrets) {
				continue
			}
			how := map[string]string{"raw": "used as text", "base64": "decoded from base64", "base64url": "decoded from URL-safe base64", "hex": "decoded from hexadecimal"}[decode]
			if prefix != "" {
				how += ", whsec_ removed first"
			}
			d.found("secret_form", true, "right with the secret %s", how)
		}
	}
}
