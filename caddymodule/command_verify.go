package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-webhooks/sluice/verifiers"
)

func init() { verbs = append(verbs, verifyCommand) }

// verifyFlags are the flags of `verify`.
type verifyFlags struct {
	providerFlags
	secrets, secretEnvs, secretFiles, suspects []string
	request, at, publicURL                     string
	entry                                      int
	json                                       bool
}

func verifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify <provider> --secret <secret> --request <file>",
		Short: "Says whether a captured request verifies, and if not, why",
		Long: `Reads a captured request (HTTP/1.1 text, a HAR file, or a curl command line), verifies it as a source would, and says what became of it.
If it does not verify, it tries what usually goes wrong: another secret, a secret decoded or not, a body that was re-encoded, another address, a clock
that is off, a header that is missing. The exit code is 0 if every request verifies.

Secrets are given as for ` + "`send`" + `; several are all live, as in a configuration. --suspect takes secrets that the request might have been signed with
by mistake. The tolerance is taken at the time the capture names, or at --at; where neither is known, it is left out.`,
		Example: `  caddy webhooks verify stripe --secret-env STRIPE_SECRET --request captured.http
  caddy webhooks send github --secret x --print http | caddy webhooks verify github --secret x --request -`,
		Args: cobra.ExactArgs(1),
	}
	f := new(verifyFlags)
	flags := cmd.Flags()
	flags.StringArrayVar(&f.secrets, "secret", nil, "A live secret, or a placeholder such as {env.NAME}; may be repeated")
	flags.StringArrayVar(&f.secretEnvs, "secret-env", nil, "Environment variable that has a live secret; may be repeated")
	flags.StringArrayVar(&f.secretFiles, "secret-file", nil, "File that has a live secret; may be repeated")
	flags.StringArrayVar(&f.suspects, "suspect", nil, "A secret that is not live but may have been used, or a placeholder; may be repeated")
	flags.StringVar(&f.request, "request", "", "File with the captured request; - is standard input")
	flags.IntVar(&f.entry, "entry", 0, "Which request of a HAR file, from 1 (default all)")
	flags.StringVar(&f.at, "at", "", "When it arrived, such as 2026-01-31T12:00:00Z, or now")
	flags.StringVar(&f.publicURL, "public-url", "", "Address as the provider knows it, as the option public_url of a source")
	flags.BoolVar(&f.json, "json", false, "Print JSON, one object for each request")
	f.providerFlags.register(cmd)
	connectFlags(cmd)
	cmd.RunE = runVerb(func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) })
	return cmd
}

func (f *verifyFlags) run(cmd *cobra.Command, id string) error {
	p, err := f.provider(cmd, id)
	if err != nil {
		return err
	}
	secrets, err := f.live(cmd, p)
	if err != nil {
		return err
	}
	suspects, err := f.suspected()
	if err != nil {
		return err
	}
	requests, err := f.captured(cmd)
	if err != nil {
		return err
	}
	out := newScreen(cmd.OutOrStdout())
	failed := false
	for i, r := range requests {
		v, err := f.verify(cmd.Context(), p, r, secrets, suspects)
		if err != nil {
			return err
		}
		failed = failed || !v.Verifies
		if f.json {
			if err := json.NewEncoder(out).Encode(v); err != nil {
				return err
			}
			continue
		}
		if len(requests) > 1 {
			out.printf("%d. %s %s\n", i+1, printable(r.Method), printable(r.URL.Redacted()))
		}
		v.print(out)
	}
	if failed {
		return errSilent
	}
	return nil
}

// live reads the live secrets, in the order in which their flags are listed.
func (f *verifyFlags) live(cmd *cobra.Command, p *verifiers.Provider) ([]verifiers.Secret, error) {
	var live []verifiers.Secret
	for kind, values := range [][]string{f.secrets, f.secretEnvs, f.secretFiles} {
		for _, value := range values {
			var places [3]string
			places[kind] = value
			raw, err := secretFrom(cmd, places[0], places[1], places[2])
			if err != nil {
				return nil, err
			}
			secret := verifiers.NewSecret(raw)
			if err := p.CheckSecret(secret); err != nil {
				return nil, usagef("secret %d of %s: %w", len(live)+1, p.Spec().ID, err)
			}
			live = append(live, secret)
		}
	}
	if needs := p.Spec().Needs(); len(live) == 0 && needs.Secret != "" && !needs.SecretOptional {
		return nil, usagef("%s needs its %s: want --secret, --secret-env or --secret-file", p.Spec().ID, needs.Secret)
	}
	return live, nil
}

func (f *verifyFlags) suspected() ([]verifiers.NamedSecret, error) {
	var out []verifiers.NamedSecret
	for i, value := range f.suspects {
		source, err := newSecretSource(value)
		if err != nil {
			return nil, usageError(err)
		}
		name := fmt.Sprintf("suspect %d", i+1)
		if isPlaceholder(value) {
			name = source.label()
		}
		out = append(out, verifiers.NamedSecret{Name: name, Secret: verifiers.NewSecret(source.value)})
	}
	return out, nil
}

// captured reads the requests and sets what the flags know about them.
func (f *verifyFlags) captured(cmd *cobra.Command) ([]*verifiers.Request, error) {
	if f.request == "" {
		return nil, usagef("want --request <file>: HTTP/1.1 text, a HAR file, or a curl command line; - is standard input")
	}
	raw, err := readInput(cmd, f.request)
	if err != nil {
		return nil, fmt.Errorf("--request: %w", err)
	}
	requests, err := verifiers.ParseCapture(raw)
	if err != nil {
		return nil, usagef("--request: %w", err)
	}
	if f.entry != 0 {
		if f.entry < 1 || f.entry > len(requests) {
			return nil, usagef("--entry %d: the capture has %d requests", f.entry, len(requests))
		}
		requests = requests[f.entry-1 : f.entry]
	}
	at, err := f.arrival()
	if err != nil {
		return nil, err
	}
	for _, r := range requests {
		if !at.IsZero() {
			r.At = at
		}
		if err := f.readdress(r); err != nil {
			return nil, err
		}
	}
	return requests, nil
}

// arrival is the time of --at; zero without it.
func (f *verifyFlags) arrival() (time.Time, error) {
	switch f.at {
	case "":
		return time.Time{}, nil
	case "now":
		return now(), nil
	}
	at, err := time.Parse(time.RFC3339, f.at)
	if err != nil {
		return at, usagef("--at %q: want a time such as 2026-01-31T12:00:00Z, or now", f.at)
	}
	return at, nil
}

// readdress puts the address that the provider knows in place of the captured one, as public_url does.
func (f *verifyFlags) readdress(r *verifiers.Request) error {
	if f.publicURL == "" {
		return nil
	}
	base, err := webAddress("--public-url", f.publicURL)
	if err != nil {
		return err
	}
	joined, err := url.Parse(strings.TrimSuffix(base.EscapedPath(), "/") + r.URL.EscapedPath())
	if err != nil {
		return usagef("--request: its path cannot be read")
	}
	u := *r.URL
	u.Scheme, u.Host, u.Path, u.RawPath = base.Scheme, base.Host, joined.Path, joined.RawPath
	r.URL = &u
	return nil
}

// verdict is what became of a captured request.
type verdict struct {
	Verifies  bool                `json:"verifies"`
	Handshake bool                `json:"handshake,omitempty"` // a question of the provider, and no event
	Unsigned  bool                `json:"unsigned,omitempty"`  // the provider signs nothing
	Secret    int                 `json:"secret,omitempty"`    // which secret it was, from 1
	SignedAt  time.Time           `json:"signed_at,omitzero"`
	Arrived   time.Time           `json:"arrived_at,omitzero"` // absent: not known, and the tolerance was left out
	Events    []verdictEvent      `json:"events,omitempty"`
	Reason    string              `json:"reason,omitempty"`
	Error     string              `json:"error,omitempty"`
	Findings  []verifiers.Finding `json:"findings,omitempty"`
}

// verdictEvent is what the gateway would call an event of the request.
type verdictEvent struct {
	EventID  string    `json:"event_id"`
	Type     string    `json:"type,omitempty"`
	Time     time.Time `json:"time,omitzero"`
	Subject  string    `json:"subject,omitempty"`
	DedupKey string    `json:"dedup_key"`
}

// verify does with a captured request what a source does with one that arrives.
func (f *verifyFlags) verify(ctx context.Context, p *verifiers.Provider, r *verifiers.Request, secrets []verifiers.Secret, suspects []verifiers.NamedSecret) (*verdict, error) {
	v := &verdict{Arrived: r.At, Unsigned: p.Spec().Scheme == verifiers.SchemeNone}
	if r.At.IsZero() {
		var err error
		if p, err = withoutTolerance(p); err != nil {
			return nil, err
		}
		r.At = now()
	}
	if _, ok, err := p.Challenge(ctx, r, secrets, false); ok && err == nil {
		v.Handshake, v.Verifies = true, true
		return v, nil
	}
	proof, err := p.Verify(ctx, r, secrets)
	if err == nil {
		if _, ok, challengeErr := p.Challenge(ctx, r, secrets, true); ok && challengeErr == nil {
			v.Handshake, v.Verifies = true, true
			return v, nil
		}
		err = v.identify(p, r)
	}
	if err != nil {
		v.Reason, v.Error = verifiers.Reason(err), err.Error()
		if !errors.Is(err, verifiers.ErrUnreadable) {
			v.Findings = p.Diagnose(ctx, r, secrets, suspects).Findings
		}
		return v, nil
	}
	v.Verifies, v.Secret, v.SignedAt = true, proof.SecretIndex+1, proof.SignedAt
	return v, nil
}

// withoutTolerance is the provider as it is with `tolerance off`.
func withoutTolerance(p *verifiers.Provider) (*verifiers.Provider, error) {
	off := verifiers.Off
	changes := &verifiers.Spec{Timestamp: verifiers.Timestamp{Past: &off, Future: &off}}
	return verifiers.Compile(p.Spec().Merge(changes), verifiers.WithKeyFetcher(keyFetcher))
}

// identify names the events.
func (v *verdict) identify(p *verifiers.Provider, r *verifiers.Request) error {
	batch := p.Spec().Batch
	identities, err := p.Identify(r, batch != nil && batch.Default)
	if err != nil {
		return err
	}
	for _, id := range identities {
		v.Events = append(v.Events, verdictEvent{EventID: id.EventID, Type: id.Type, Time: id.Time, Subject: id.Subject, DedupKey: id.DedupKey})
	}
	return nil
}
