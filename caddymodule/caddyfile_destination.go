package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/sluice-webhooks/sluice/queue/delivery"
)

const destinationOptionNames = "to, timeout, retry, max_attempts, max_age, dead_on, deliver_on, retry_on, concurrency, rate, breaker, format, sign, header, bearer, basic, oauth2 or proxy"

// destinationOptions reads the options of a destination, which stand in a `destination` block and in an inline `forward`:
//
//	to          <url>...
//	timeout     <duration>
//	retry       exponential [<first> [<cap>]] [for <total>] [x <multiplier>]
//	retry       <delay>... [jitter <part>]
//	retry       heyvisa | standard | none
//	max_attempts <count>
//	max_age     <duration>
//	dead_on     <status>...
//	deliver_on  <status>...
//	retry_on    <status>...
//	concurrency <count> | auto [<count>]
//	rate        <count>/<s|m|h> [<burst>]
//	breaker     <failures> <open> [<ratio>] | off
//	format      cloudevents | cloudevents_binary | original
//	sign        standard <secret>... | provider <secret>
//	header      [+|-]<name> [<value>]
//	bearer      <token>
//	basic       <user> <password>
//	oauth2 {
//	    token_url     <url>
//	    client_id     <id>
//	    client_secret <secret>
//	    scopes        <scope>...
//	}
//	proxy {
//	    ... (the options of reverse_proxy)
//	}
type destinationOptions struct {
	to    caddyfile.Token   // where the last address stands
	proxy []caddyfile.Token // the segment of the proxy block, read when all addresses are known
}

// parse reads the option at the cursor; known is false if it is none of a destination's.
func (o *destinationOptions) parse(d *caddyfile.Dispenser, dest *Destination) (known bool, err error) {
	switch d.Val() {
	case "to":
		err = parseList(d, &dest.To, "a URL such as https://app.internal/hooks")
		o.to = d.Token()
	case "timeout":
		err = parseDuration(d, &dest.Timeout)
	case "retry":
		err = parseRetry(d, dest)
	case "max_attempts":
		err = parseCount(d, &dest.ensureRetry().MaxAttempts)
	case "max_age":
		err = parseDuration(d, &dest.ensureRetry().MaxAge)
	case "dead_on":
		err = parseStatuses(d, &dest.DeadOn)
	case "deliver_on":
		err = parseStatuses(d, &dest.DeliverOn)
	case "retry_on":
		err = parseStatuses(d, &dest.RetryOn)
	case "concurrency":
		if err = parseText(d, &dest.Concurrency, "a number or auto"); err == nil {
			if wrong := dest.pacing(new(delivery.Policy)); wrong != nil {
				err = d.WrapErr(wrong)
			}
		}
	case "rate":
		err = parseRateOption(d, dest)
	case "breaker":
		err = parseBreaker(d, dest)
	case "format":
		err = parseText(d, &dest.Format, "cloudevents, cloudevents_binary or original")
	case "sign":
		err = parseSign(d, dest)
	case "header":
		err = parseHeader(d, dest)
	case "bearer", "basic", "oauth2":
		err = parseAuth(d, dest)
	case "proxy":
		if o.proxy != nil {
			return true, d.Err("proxy is already specified")
		}
		o.proxy = d.NextSegment()
	default:
		return false, nil
	}
	return true, err
}

// finish checks what was read and makes the reverse_proxy handler.
func (o *destinationOptions) finish(d *caddyfile.Dispenser, dest *Destination) error {
	if len(dest.To) == 0 && o.proxy == nil {
		return d.Err("destination has no address: want `to <url>...`")
	}
	_, upstreams, err := parseTargets(dest.To)
	if err != nil {
		return placed(err, o.to)
	}
	if _, err := dest.buildPolicy(); err != nil {
		return d.WrapErr(err)
	}
	if _, err := checkFormat(dest.Format, dest.Sign); err != nil {
		return d.WrapErr(err)
	}
	if o.proxy == nil {
		o.to.Text = "reverse_proxy"
		if _, err = proxyFor(upstreams, []caddyfile.Token{o.to}); err != nil {
			return fmt.Errorf("to: %w: want a URL such as https://app.internal/hooks, or an address that reverse_proxy takes, such as h2c://app:8080", err)
		}
		return nil
	}
	handler, err := proxyFor(upstreams, o.proxy)
	if err != nil {
		return err
	}
	dest.ProxyRaw = caddyconfig.JSON(handler, nil)
	return nil
}

// proxyFor has reverse_proxy read its own options, with the destination's addresses as its upstreams.
func proxyFor(upstreams []string, segment []caddyfile.Token) (*reverseproxy.Handler, error) {
	if len(segment) == 0 {
		segment = []caddyfile.Token{{Text: "reverse_proxy"}}
	}
	tokens := []caddyfile.Token{segment[0]}
	for _, address := range upstreams {
		token := segment[0]
		token.Text = address
		tokens = append(tokens, token)
	}
	tokens = append(tokens, segment[1:]...)
	for _, token := range segment[1:] {
		if token.Text == "handle_response" {
			return nil, placed(errHandleResponse, token)
		}
	}
	handler := new(reverseproxy.Handler)
	if err := handler.UnmarshalCaddyfile(caddyfile.NewDispenser(tokens)); err != nil {
		return nil, err
	}
	return handler, nil
}

func caddyModuleJSON(v any) json.RawMessage { return caddyconfig.JSON(v, nil) }

func parseStatuses(d *caddyfile.Dispenser, into *[]string) error {
	if err := parseList(d, into, "statuses such as 404, 4xx or 500-504"); err != nil {
		return err
	}
	if _, err := statusRules(*into); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

func parseRateOption(d *caddyfile.Dispenser, dest *Destination) (err error) {
	args := d.RemainingArgs()
	if dest.Rate != "" {
		return d.Err("rate is already specified")
	}
	if len(args) < 1 || len(args) > 2 {
		return d.Err("rate: want a rate such as 100/s, and perhaps a burst")
	}
	if _, err := parseRate(args[0]); err != nil {
		return d.WrapErr(err)
	}
	dest.Rate = args[0]
	if len(args) == 2 {
		if dest.Burst, err = atoiPositive(args[1]); err != nil {
			return d.Errf("rate: invalid burst '%s': want a number from 1 up", args[1])
		}
	}
	return nil
}

func parseSign(d *caddyfile.Dispenser, dest *Destination) error {
	args := d.RemainingArgs()
	if len(args) < 2 || args[0] != signStandard && args[0] != signProvider || args[0] == signProvider && len(args) > 2 {
		return d.Err("sign: want `sign standard <secret>...` or `sign provider <secret>`")
	}
	if dest.Sign != nil {
		return d.Err("sign is already specified")
	}
	dest.Sign = &Sign{As: args[0], Secrets: args[1:]}
	if err := dest.Sign.check(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

func parseHeader(d *caddyfile.Dispenser, dest *Destination) error {
	args := d.RemainingArgs()
	if len(args) == 0 || len(args) > 2 {
		return d.Err("header: want [+|-]<name> [<value>]")
	}
	name, value := args[0], ""
	if len(args) == 2 {
		value = args[1]
	}
	if dest.Headers == nil {
		dest.Headers = new(headers.HeaderOps)
	}
	ops := dest.Headers
	switch {
	case strings.HasPrefix(name, "-"):
		if len(args) == 2 {
			return d.Err("header: -<name> removes a header and takes no value")
		}
		ops.Delete = append(ops.Delete, name[1:])
	case len(args) == 1:
		return d.Errf("header %s: want a value", name)
	case strings.HasPrefix(name, "+"):
		addHeader(&ops.Add, name[1:], value)
	default:
		addHeader(&ops.Set, name, value)
	}
	if err := checkHeaders(ops); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

func addHeader(into *http.Header, name, value string) {
	if *into == nil {
		*into = make(http.Header)
	}
	into.Add(name, value)
}

func (d *Destination) ensureRetry() *Retry {
	if d.Retry == nil {
		d.Retry = new(Retry)
	}
	return d.Retry
}
