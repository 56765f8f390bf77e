package caddymodule

import (
	"strconv"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sluice-webhooks/sluice/verifiers"
)

func init() {
	httpcaddyfile.RegisterHandlerDirective("webhook", parseWebhook)
	httpcaddyfile.RegisterDirectiveOrder("webhook", httpcaddyfile.Before, "respond")
}

func parseWebhook(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	handler := new(Handler)
	h.Next()
	at := h.Token()
	h.Prev()
	if err := handler.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	return handler, handler.check(h, at)
}

// UnmarshalCaddyfile reads a source. Syntax:
//
//	webhook [<matcher>] <provider> {
//	    name        <name>
//	    secret      <secret>...
//	    token       path|query:<name>|header:<Name> <secret>...
//	    unsigned_ok
//	    tolerance   <past> [<future>] | off
//	    dedup       <window> [by <expr>...] | by <expr>... | off
//	    ack         <status> [<body>]
//	    ack         sync <duration>
//	    deadline    <duration>
//	    max_body    <size>
//	    public_url  <url>
//	    split       [on|off]
//	    verifier    {
//	        # options of the plugin that the provider is made by
//	    }
//	    redact
//	    mask        <path>...
//	    reconcile   stripe|github|shopify|pages ...
//	    forward     <destination>|<url>... {
//	        ...
//	    }
//
//	    # parameters of a scheme, or changes to the provider's
//	    <parameter> <value>...
//	}
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if !d.AllArgs(&h.Provider) {
		return d.Err("webhook: want exactly one provider, such as stripe or hmac; `caddy webhooks providers` lists them")
	}
	had := make(given)
	for d.NextBlock(0) {
		if err := h.parseOption(d, had); err != nil {
			return err
		}
	}
	return nil
}

// webhookOptionNames is what parseOption knows itself.
const webhookOptionNames = "name, secret, forward, token, unsigned_ok, tolerance, dedup, ack, deadline, max_body, public_url, split, redact, mask, reconcile or verifier"

func (h *Handler) parseOption(d *caddyfile.Dispenser, had given) error {
	switch d.Val() {
	case "name":
		return parseText(d, &h.Name, "the source's name")
	case "secret":
		err := parseList(d, &h.Secrets, "secrets such as {env.STRIPE_SECRET}")
		for len(h.secretsAt) < len(h.Secrets) {
			h.secretsAt = append(h.secretsAt, d.Token())
		}
		return err
	case "token":
		return h.parseToken(d)
	case "unsigned_ok":
		h.UnsignedOK = true
		return noArgs(d)
	case "tolerance":
		return h.parseTolerance(d)
	case "dedup":
		return h.parseDedup(d)
	case "ack":
		return h.parseAck(d)
	case "deadline":
		return parseDuration(d, &h.Deadline)
	case "max_body":
		return parseSize(d, &h.MaxBody)
	case "public_url":
		return parseText(d, &h.PublicURL, "an address such as https://hooks.example.com")
	case "split":
		return h.parseSplit(d)
	case "redact":
		h.Redact = true
		return noArgs(d)
	case "mask":
		if err := parseList(d, &h.Mask, "paths such as data.card.number"); err != nil {
			return err
		}
		if err := checkMask(h.Mask); err != nil {
			return d.WrapErr(err)
		}
		return nil
	case "reconcile":
		return h.parseReconcile(d)
	case "forward":
		return h.parseForward(d)
	case "verifier":
		return h.parseVerifier(d)
	}
	return parseSpecOption(d, h.ensureSpec(), had, "webhook "+h.Provider, webhookOptionNames+"; or a parameter of the scheme, ")
}

func (h *Handler) ensureSpec() *verifiers.Spec {
	if h.Spec == nil {
		h.Spec = new(verifiers.Spec)
	}
	return h.Spec
}

func noArgs(d *caddyfile.Dispenser) error {
	name := d.Val()
	if d.NextArg() {
		return d.Errf("%s takes no arguments", name)
	}
	return nil
}

func (h *Handler) parseToken(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) < 2 {
		return d.Err("token: want a place (path, query:<name> or header:<Name>) and one or more secrets")
	}
	if h.Token != nil {
		return d.Err("token is already specified")
	}
	if _, err := newTokenGuard(args[0], nil); err != nil {
		return d.WrapErr(err)
	}
	h.Token = &Token{Place: args[0], Secrets: args[1:]}
	return checkSecretsOf(d, "token", h.Token.Secrets...)
}

func (h *Handler) parseTolerance(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	spec := h.ensureSpec()
	if spec.Timestamp.Past != nil {
		return d.Err("tolerance is already specified")
	}
	if len(args) == 0 || len(args) > 2 {
		return d.Err("tolerance: want <past> [<future>], such as 5m, or off")
	}
	limits := make([]*verifiers.Duration, 2)
	for i, text := range args {
		limit, err := verifiers.ParseDuration(text)
		if err != nil || limit == 0 {
			return d.Errf("tolerance: invalid duration '%s': want one such as 5m, or off", text)
		}
		limits[i] = &limit
	}
	if len(args) == 1 && *limits[0] == verifiers.Off {
		limits[1] = limits[0]
	}
	spec.Timestamp.Past, spec.Timestamp.Future = limits[0], limits[1]
	return nil
}

func (h *Handler) parseDedup(d *caddyfile.Dispenser) error {
	args := asWritten(d.RemainingArgs())
	if h.Dedup != nil {
		return d.Err("dedup is already specified")
	}
	dedup := new(Dedup)
	h.Dedup = dedup
	switch {
	case len(args) == 0:
		return d.Err("dedup: want <window> [by <expr>...], or off")
	case args[0] == "off":
		dedup.Off = true
		args = args[1:]
	case args[0] != "by":
		if err := durationInto(&dedup.Window, args[0]); err != nil {
			return d.Errf("dedup: %v: want a window such as 72h or 7d, or off", err)
		}
		args = args[1:]
	}
	if len(args) == 0 {
		return nil
	}
	if dedup.Off || args[0] != "by" || len(args) == 1 {
		return d.Errf("dedup: unexpected '%s': want <window> [by <expr>...], or off", args[0])
	}
	dedup.By = args[1:]
	if _, err := dedup.by(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

func (h *Handler) parseAck(d *caddyfile.Dispenser) error {
	args := asWritten(d.RemainingArgs())
	if h.Ack == nil {
		h.Ack = new(Ack)
	}
	if len(args) == 2 && args[0] == "sync" {
		if h.Ack.Sync != 0 {
			return d.Err("ack sync is already specified")
		}
		if err := durationInto(&h.Ack.Sync, args[1]); err != nil {
			return d.Errf("ack sync: %v: want a time such as 2s", err)
		}
		return nil
	}
	if len(args) == 0 || len(args) > 2 {
		return d.Err("ack: want <status> [<body>], or sync <duration>")
	}
	if h.Ack.Status != 0 {
		return d.Err("ack is already specified; `ack sync <duration>` may stand beside it")
	}
	status, err := strconv.Atoi(args[0])
	if err != nil || status < 200 || status > 299 {
		return d.Errf("ack: invalid status '%s': want one from 200 to 299", args[0])
	}
	h.Ack.Status = status
	if len(args) == 2 {
		h.Ack.Body = args[1]
	}
	return nil
}

func (h *Handler) parseSplit(d *caddyfile.Dispenser) error {
	if h.Split != nil {
		return d.Err("split is already specified")
	}
	on := true
	if d.NextArg() {
		switch d.Val() {
		case "on":
		case "off":
			on = false
		default:
			return d.Errf("split: unexpected '%s': want on or off", d.Val())
		}
	}
	h.Split = &on
	return noArgs(d)
}
