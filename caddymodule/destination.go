package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"
	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue/delivery"
)

// Destination is where events go and how: an address and a delivery policy. Its limits hold for all sources together.
type Destination struct {
	// Addresses of the application: URLs that differ only in host and port, or anything `reverse_proxy` takes as an
	// upstream. With several, the policy of `proxy` chooses; each attempt goes to one.
	To []string `json:"to,omitempty"`

	// How long one attempt may take, the answer's body included. Default: 30s.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// When a failed attempt is followed by another. Default: exponential from 5s up to 1h for 72h, with full jitter.
	Retry *Retry `json:"retry,omitempty"`

	// Statuses that are not worth retrying, such as 404 or 4xx: the delivery is dead at once. Default: 410, unless another rule matches it.
	DeadOn []string `json:"dead_on,omitempty"`

	// Statuses besides 2xx that count as delivered. Default: none.
	DeliverOn []string `json:"deliver_on,omitempty"`

	// Statuses that are retried although a wider rule of dead_on covers them. Default: none.
	RetryOn []string `json:"retry_on,omitempty"`

	// How many attempts may be under way at once: a number, or `auto` to follow what the application can take. Default: 16.
	Concurrency string `json:"concurrency,omitempty"`

	// How many attempts may start in a time, such as 100/s or 600/m. Default: no limit.
	Rate string `json:"rate,omitempty"`

	// How many attempts may start at once after a quiet time. Default: one second's worth.
	Burst int `json:"burst,omitempty"`

	// When a failing application is left alone. Default: for 30s after 5 failures in a row.
	Breaker *Breaker `json:"breaker,omitempty"`

	// What is sent: `cloudevents` (structured JSON, the default), `cloudevents_binary` or `original`.
	Format string `json:"format,omitempty"`

	// How forwarded requests are signed. Default: not at all.
	Sign *Sign `json:"sign,omitempty"`

	// Changes to the headers of forwarded requests. Values may hold placeholders.
	Headers *headers.HeaderOps `json:"headers,omitempty"`

	// Credentials the application asks for. Default: none.
	Auth *Auth `json:"auth,omitempty"`

	// The `reverse_proxy` handler that carries attempts; its upstreams come from `to` unless it has its own.
	ProxyRaw json.RawMessage `json:"proxy,omitempty"`

	name           string
	source         string // of an inline one
	policy         delivery.Policy
	proxy          *reverseproxy.Handler
	rewrite        *rewrite.Rewrite // of the proxy
	retriesAnswers bool             // the proxy may ask again because of an answer
	target         *url.URL         // scheme, host, path and query of requests
	signer         *outgoingSigner
	auth           authorizer
	headerFiles    headerFiles
	app            *App
	logger         *zap.Logger
	forwardBy      map[string]*Forward // by source; filled while handlers are provisioned
}

// Retry says when a failed attempt is followed by another. Exactly one of exponential, schedule, preset and none is set.
type Retry struct {
	Exponential *Exponential `json:"exponential,omitempty"`
	// An explicit schedule: the delays between attempts; after the last one the delivery is dead.
	Schedule []caddy.Duration `json:"schedule,omitempty"`
	// Randomness of a schedule from 0 to 1: each delay varies by up to this part of it. Default: 0.
	Jitter float64 `json:"jitter,omitempty"`
	// A well-known schedule: `heyvisa` or `standard`.
	Preset string `json:"preset,omitempty"`
	// One attempt only.
	None bool `json:"none,omitempty"`
	// The most attempts of a delivery. Default: no limit.
	MaxAttempts int `json:"max_attempts,omitempty"`
	// The age of an event after which no attempt is made. Default: no limit.
	MaxAge caddy.Duration `json:"max_age,omitempty"`
}

// Exponential backs off with full jitter.
type Exponential struct {
	// Upper end of the first delay. Default: 5s.
	First caddy.Duration `json:"first,omitempty"`
	// Longest delay. Default: 1h.
	Cap caddy.Duration `json:"cap,omitempty"`
	// After the first attempt, none starts later than this. Default: 72h.
	Total caddy.Duration `json:"total,omitempty"`
	// Growth from one delay to the next. Default: 2.
	Multiplier float64 `json:"multiplier,omitempty"`
}

// Breaker says when an application that fails is left alone; deliveries are held meanwhile and no attempt is spent.
type Breaker struct {
	Off bool `json:"off,omitempty"`
	// Failures in a row that open it. Default: 5.
	Failures int `json:"failures,omitempty"`
	// How long it stays open before one attempt probes. Default: 30s.
	Open caddy.Duration `json:"open,omitempty"`
	// Part of the attempts of the last minute, from 0 to 1, whose failure opens it too. Default: not used.
	Ratio float64 `json:"ratio,omitempty"`
}

// provision makes the destination ready. name is its name, also in the metrics and the API.
func (d *Destination) provision(ctx caddy.Context, app *App, name string) (err error) {
	d.name, d.app, d.logger = name, app, app.logger.With(zap.String("destination", name))
	d.forwardBy = make(map[string]*Forward)
	if d.policy, err = d.buildPolicy(); err != nil {
		return err
	}
	if err := delivery.ValidName(name); err != nil {
		return err
	}
	if d.Format, err = checkFormat(d.Format, d.Sign); err != nil {
		return err
	}
	if d.signer, err = newOutgoingSigner(d.Sign, d.logger); err != nil {
		return err
	}
	if d.auth, err = d.Auth.provision(d.logger); err != nil {
		return fmt.Errorf("auth: %w", err)
	}
	if err := d.provisionHeaders(ctx); err != nil {
		return err
	}
	return d.provisionProxy(ctx)
}

func checkFormat(format string, sign *Sign) (string, error) {
	signsAsProvider := sign != nil && sign.As == signProvider
	switch format {
	case "":
		if signsAsProvider {
			return formatOriginal, nil
		}
		return formatCloudEvents, nil
	case formatOriginal:
		return format, nil
	case formatCloudEvents, formatCloudEventsBinary:
		if signsAsProvider {
			return "", fmt.Errorf("sign provider needs format original: a provider's SDK does not read %s", format)
		}
		return format, nil
	}
	return "", fmt.Errorf("unknown format %q: want cloudevents, cloudevents_binary or original", format)
}

// inlineName is the name of the destination of a `forward <url>`: the source's name and the address, fit for a label and a path.
func inlineName(source, address string) string {
	_, rest, ok := strings.Cut(address, "://")
	if !ok {
		rest = address
	}
	rest, _, _ = strings.Cut(rest, "?")
	clean := strings.Map(func(r rune) rune {
		if r == '.' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '-'
	}, source+"-"+rest)
	return strings.Trim(clean, "-")
}
