package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/dustin/go-humanize"
	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue/delivery"
	"github.com/sluice-webhooks/sluice/verifiers"
)

// SourceConfig is the configuration of a source.
type SourceConfig struct {
	// The provider: an id of the catalogue, of the app's `providers`, or a scheme with explicit parameters in `spec`.
	Provider string `json:"provider"`

	// Changes to the provider's data; all of it if `provider` is a bare scheme.
	Spec *verifiers.Spec `json:"spec,omitempty"`

	// The options of the plugin that the provider is made by. Default: the plugin's own.
	VerifierRaw json.RawMessage `json:"verifier,omitempty" caddy:"namespace=webhooks.verifiers inline_key=provider"`

	// The source's name in the API, the metrics and the events. Unique. Default: the provider's name.
	Name string `json:"name,omitempty"`

	// The live secrets, all of which may verify: placeholders such as {env.X} and {file./path}, or literals. A changed file is picked up by itself.
	Secrets []string `json:"secrets,omitempty"`

	// A shared secret in the address, for providers that sign nothing.
	Token *Token `json:"token,omitempty"`

	// The operator's word that an unsigned provider is fenced in some other way.
	UnsignedOK bool `json:"unsigned_ok,omitempty"`

	// Which events are the same event. Default: the provider's id and horizon.
	Dedup *Dedup `json:"dedup,omitempty"`

	// The answer to an accepted event. Default: the provider's.
	Ack *Ack `json:"ack,omitempty"`

	// Within what the answer leaves; past it, it is a 503. Default: the provider's.
	Deadline caddy.Duration `json:"deadline,omitempty"`

	// Largest body in bytes. Default: 5 MiB.
	MaxBody int64 `json:"max_body,omitempty"`

	// The address as the provider sees it (scheme, host and perhaps a path in front), behind another proxy. Default: the request's own.
	PublicURL string `json:"public_url,omitempty"`

	// Makes one event of each element of a batch. Default: as the provider's documentation treats batches, but not where all destinations get the original.
	Split *bool `json:"split,omitempty"`

	// Where the provider lists its past events, for `caddy webhooks reconcile`.
	Reconcile *Reconcile `json:"reconcile,omitempty"`

	// Where events go. A source without any stores its events and delivers none.
	Forwards []*Forward `json:"forwards,omitempty"`

	// Never shows payloads in the API, the dashboard or the command line.
	Redact bool `json:"redact,omitempty"`

	// Paths within payloads that are masked wherever a payload is shown.
	Mask []string `json:"mask,omitempty"`
}

// Token is a shared secret in the address of a source.
type Token struct {
	// `path` (a segment of it), `query:<name>` or `header:<Name>`.
	Place string `json:"place"`
	// The live secrets.
	Secrets []string `json:"secrets"`
}

const defaultMaxBody = 5 << 20

// sourceRules is what requests are held to: the configuration with the provider's defaults filled in.
type sourceRules struct {
	deadline         time.Duration
	maxBody          int64
	publicURL        *url.URL
	methods          []string
	handshakeMethods []string
	signedMethods    []string // of handshakes that are verified first
	allow            string
	refuseStatus     int

	secretByHandshake bool
	storesSecret      bool // a handshake may bring one that becomes live
	split             bool
	dedupOff          bool
	dedupWindow       time.Duration
	dedupBy           *verifiers.Expr
}

// Provision makes the source ready and registers it with the app.
func (h *Handler) Provision(ctx caddy.Context) error {
	app, err := ctx.App(appName)
	if err != nil {
		return fmt.Errorf("loading webhooks app: %w", err)
	}
	h.app = app.(*App)
	if h.Name == "" {
		h.Name = h.Provider
	}
	h.logger = ctx.Logger().With(zap.String("source", h.Name))
	if err := h.provisionProvider(ctx); err != nil {
		return fmt.Errorf("webhook %s: %w", h.Provider, err)
	}
	if err := h.provisionSource(ctx); err != nil {
		return fmt.Errorf("source %s: %w", h.Name, err)
	}
	return h.app.register(h)
}

func (h *Handler) provisionSource(ctx caddy.Context) error {
	if err := validSourceName(h.Name); err != nil {
		return err
	}
	if err := h.checkJSON(); err != nil {
		return err
	}
	if err := h.provisionSecrets(); err != nil {
		return err
	}
	if err := h.provisionRules(); err != nil {
		return err
	}
	if err := h.provisionAck(); err != nil {
		return err
	}
	if err := h.provisionReconcile(); err != nil {
		return err
	}
	h.meters = h.app.metrics.source(h.Name, h.provider.Spec().ID)
	for i, f := range h.Forwards {
		err := f.provision(ctx, h.app, h)
		if err == nil {
			err = f.once(h.Forwards[:i])
		}
		if err != nil {
			return fmt.Errorf("forward %d: %w", i+1, err)
		}
	}
	h.keepBatches()
	return nil
}

// keepBatches leaves batches whole, unless the configuration says otherwise, where every application gets requests as the provider sent them: it expects the
// provider's batches.
func (h *Handler) keepBatches() {
	if h.Split != nil || !h.rules.split || !slices.ContainsFunc(h.Forwards, (*Forward).untouched) {
		return
	}
	if slices.ContainsFunc(h.Forwards, func(f *Forward) bool { return !f.untouched() }) {
		h.logger.Warn("events are elements of the provider's batches, also for the destinations with format original: say `split off` if their applications expect batches")
		return
	}
	h.rules.split = false
}

func validSourceName(name string) error {
	if name == alertSource {
		return fmt.Errorf("name %q is that of alerts: choose another", name)
	}
	if name == "" || len(name) > 64 || strings.ContainsFunc(name, func(r rune) bool {
		return r != '-' && r != '_' && r != '.' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		return fmt.Errorf("name %q: want 1 to 64 letters, digits, dots, dashes or underscores", name)
	}
	return nil
}

// provisionSecrets resolves the live secrets.
func (h *Handler) provisionSecrets() (err error) {
	if err := h.checkVouched(); err != nil {
		return err
	}
	if h.secrets, err = newSecretSet(h.Secrets, h.logger); err != nil {
		return err
	}
	if h.Token != nil {
		if len(h.Token.Secrets) == 0 {
			return errors.New("token has no secret")
		}
		set, err := newSecretSet(h.Token.Secrets, h.logger)
		if err != nil {
			return fmt.Errorf("token: %w", err)
		}
		if h.token, err = newTokenGuard(h.Token.Place, set); err != nil {
			return err
		}
	}
	if err := h.secrets.require(h.provider.CheckSecret); err != nil {
		return err
	}
	if n := h.secrets.literals(); n > 0 {
		h.logger.Warn("secret stands in the configuration itself, where `caddy adapt` and the autosaved configuration show it: prefer {env.NAME} or {file./path}",
			zap.Int("secrets", n))
	}
	return nil
}

// checkVouched insists that something vouches for requests.
func (h *Handler) checkVouched() error {
	needs := h.provider.Spec().Needs()
	switch {
	case needs.Unsigned && h.Token == nil && !h.UnsignedOK:
		return fmt.Errorf("provider %s signs nothing, so anybody could send events: give the address a secret with `token path <secret>` or `token query:<name> <secret>`,"+
			" or say `unsigned_ok` if requests are fenced in some other way", h.Provider)
	case needs.KeyAddress != "" && len(h.Secrets) == 0:
		return fmt.Errorf("has neither a secret nor the address of published keys: provider %s needs `secret <%s>` or `param %s <value>`", h.Provider, needs.Secret, needs.KeyAddress)
	case needs.Secret != "" && !needs.SecretOptional && !needs.SecretByHandshake && len(h.Secrets) == 0:
		return fmt.Errorf("has no secret: provider %s needs `secret <%s>`", h.Provider, needs.Secret)
	case needs.Secret == "" && len(h.Secrets) > 0:
		return fmt.Errorf("provider %s uses no secret; remove `secret`, or use `token` for one in the address", h.Provider)
	}
	return nil
}

func (h *Handler) provisionRules() (err error) {
	spec := h.provider.Spec()
	r := sourceRules{
		deadline: spec.Deadline.Std(), maxBody: h.MaxBody, methods: spec.Methods, refuseStatus: spec.RefuseStatus,
		secretByHandshake: spec.Needs().SecretByHandshake,
		split:             spec.Batch != nil && spec.Batch.Default, dedupOff: spec.Dedup.Off, dedupWindow: spec.Dedup.Window.Std(),
	}
	if h.Deadline < 0 || time.Duration(h.Deadline) > delivery.MaxSpan {
		return fmt.Errorf("deadline %s: want up to 100 years, and not less than 0", time.Duration(h.Deadline))
	}
	if h.Deadline > 0 {
		r.deadline = time.Duration(h.Deadline)
	}
	if r.maxBody == 0 {
		r.maxBody = defaultMaxBody
	}
	if limit := h.app.maxEvent(); limit > 0 && r.maxBody > limit {
		return fmt.Errorf("max_body of %d bytes: want at most %s, which is what the store takes of an event with its headers",
			r.maxBody, humanize.IBytes(uint64(limit))) //nolint:gosec // not negative
	}
	if h.Split != nil {
		r.split = *h.Split
	}
	for _, hs := range spec.Handshakes {
		methods := hs.Methods
		if len(methods) == 0 {
			methods = []string{"POST"}
		}
		r.storesSecret = r.storesSecret || hs.StoreSecret != ""
		r.handshakeMethods = append(r.handshakeMethods, methods...)
		if hs.Signed {
			r.signedMethods = append(r.signedMethods, methods...)
		}
	}
	all := slices.Concat(r.methods, r.handshakeMethods)
	slices.Sort(all)
	r.allow = strings.Join(slices.Compact(all), ", ")
	if r.publicURL, err = parsePublicURL(h.PublicURL); err != nil {
		return err
	}
	if d := h.Dedup; d != nil {
		r.dedupOff = d.Off
		if d.Window > 0 {
			r.dedupWindow = time.Duration(d.Window)
		}
		if len(d.By) > 0 {
			expr, err := d.by()
			if err != nil {
				return err
			}
			r.dedupBy = &expr
		}
	}
	h.rules = r
	return nil
}

// sameConfig reports whether two handlers are copies of one source in two servers.
func (h *Handler) sameConfig(other *Handler) bool {
	mine, err1 := json.Marshal(h.SourceConfig)
	theirs, err2 := json.Marshal(other.SourceConfig)
	return err1 == nil && err2 == nil && string(mine) == string(theirs)
}
