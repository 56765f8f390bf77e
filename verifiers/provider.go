package verifiers

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Provider is a compiled Spec. It is immutable, but for what [WithParams] says, and safe for concurrent use.
type Provider struct {
	spec    *Spec
	params  map[string]string
	present func(param string) (string, bool)
	fetcher KeyFetcher
	guest   Verifier // of scheme guest

	scheme     scheme
	content    []*Template // compiled Spec.Signed
	sig        sigReader
	ts         tsReader
	messageID  *Expr
	keyID      *Expr
	keys       keyCache
	hash       hashFunc
	hashBy     *Expr
	hashNames  map[string]hashFunc
	keySource  *keySource
	checks     []check
	handshakes []handshake
	event      eventExprs
	element    eventExprs
	batchText  *Expr // nil: the body
}

var (
	_ Verifier = (*Provider)(nil)
	_ Signer   = (*Provider)(nil)
)

// Option configures Compile.
type Option func(*Provider)

// WithKeyFetcher gives a Provider the means to fetch published keys. Without it such providers refuse everything with ErrKeysUnavailable.
func WithKeyFetcher(f KeyFetcher) Option { return func(p *Provider) { p.fetcher = f } }

// WithParams gives a Provider the present values of params that may change while it is used. The Spec has those that they have now; of a param that present does
// not know, the Spec's is the only one. A new value must be one that Compile takes.
func WithParams(present func(name string) (value string, ok bool)) Option {
	return func(p *Provider) { p.present = present }
}

// scheme is one way of signing, compiled for one provider.
type scheme interface {
	// verify answers which secret vouches for the request of a; the tolerance and the checks come after it.
	verify(ctx context.Context, a *attempt, secrets []Secret) (Proof, error)
	// sign writes the signature into a's request.
	sign(a *attempt, secret Secret) error
}

// Compile checks a Spec and makes it ready for use. The Spec must not be changed afterwards. An error names the field and says what was expected.
func Compile(spec *Spec, opts ...Option) (*Provider, error) {
	full, err := withDefaults(spec)
	if err != nil {
		return nil, err
	}
	p := &Provider{spec: full}
	for _, o := range opts {
		o(p)
	}
	for _, step := range []func() error{
		p.checkScheme, p.compileParams, p.compileHash, p.compileKey, p.compileSignature, p.compileTimestamp, p.compileContent,
		p.compileKeySource, p.compileChecks, p.compileEvent, p.compileAnswers, p.compileScheme,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// FieldError says what is wrong with a field of a Spec, under its name in the catalogue; [OptionError] has the name of a configuration's option.
type FieldError struct {
	Field string
	Err   error
}

// Error implements error.
func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap returns what is wrong.
func (e *FieldError) Unwrap() error { return e.Err }

// fieldError names the field of a Spec that is wrong.
func fieldError(field, format string, args ...any) error {
	return &FieldError{Field: field, Err: fmt.Errorf(format, args...)}
}

// Spec returns what p was compiled from, with the defaults filled in. It must not be changed.
func (p *Provider) Spec() *Spec { return p.spec }

// Verify implements [Verifier]. A provider of scheme none accepts everything that its checks accept, with SecretIndex -1.
func (p *Provider) Verify(ctx context.Context, r *Request, secrets []Secret) (Proof, error) {
	a := newAttempt(p, r)
	defer a.release()
	a.secrets = secrets
	proof, err := p.scheme.verify(ctx, a, secrets)
	if err != nil {
		return Proof{SecretIndex: -1}, err
	}
	if err := p.checkRepeated(a); err != nil {
		return Proof{SecretIndex: -1}, err
	}
	if err := p.tolerate(r.At, proof.SignedAt); err != nil {
		return Proof{SecretIndex: -1}, err
	}
	if err := p.runChecks(a, secrets); err != nil {
		return Proof{SecretIndex: -1}, err
	}
	return proof, nil
}

// Sign implements [Signer]. It fails with ErrCannotSign where only the provider has the key, or has one the secret cannot stand for.
func (p *Provider) Sign(r *Request, secret Secret, id string, at time.Time) error {
	if len(secret.Bytes()) == 0 && p.spec.Scheme != SchemeNone {
		return fmt.Errorf("%w: secret is empty", ErrCannotSign)
	}
	a := newAttempt(p, r)
	defer a.release()
	a.id, a.at = id, at
	return p.scheme.sign(a, secret)
}

// MessageID returns the message id that a request has; empty if it has none, or the provider signs none.
func (p *Provider) MessageID(r *Request) string {
	a := newAttempt(p, r)
	defer a.release()
	return p.messageID.eval(a)
}

// Challenge answers r if it is a handshake: signed ones only when verified is true, all others only when it is false; the caller asks once before and once
// after Verify. ok is false if r is none. An error wraps one of the reasons of a refusal, as Verify's do.
func (p *Provider) Challenge(ctx context.Context, r *Request, secrets []Secret, verified bool) (reply Reply, ok bool, err error) {
	a := newAttempt(p, r)
	defer a.release()
	a.secrets = secrets
	for i := range p.handshakes {
		h := &p.handshakes[i]
		if h.signed != verified || !h.matches(a, secrets) {
			continue
		}
		reply, err = h.answer(ctx, a, secrets)
		return reply, true, err
	}
	return Reply{}, false, nil
}

// errNoExample is for providers whose Spec has none.
var errNoExample = errors.New("provider has no example request")
