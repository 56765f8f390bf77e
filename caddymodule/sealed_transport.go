package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

func init() {
	caddy.RegisterModule(new(sealedTransport))
}

// sealedTransport carries the attempts of a destination and keeps their headers and addresses out of the log: reverse_proxy logs both of a request whose answer
// breaks off, and of every request at level DEBUG, and there are credentials and tokens in them. What the transport inside can do beyond round trips, it can do, too.
type sealedTransport struct {
	// The transport that is configured, or http.
	TransportRaw json.RawMessage `json:"transport,omitempty" caddy:"namespace=http.reverse_proxy.transport inline_key=protocol"`

	http.RoundTripper `json:"-"`

	heedless bool // the transport inside may go on when its request's context has ended
}

const sealedTransportName = "webhook"

// CaddyModule returns the Caddy module information.
func (*sealedTransport) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.reverse_proxy.transport." + sealedTransportName, New: func() caddy.Module { return new(sealedTransport) }}
}

// sealed wraps the configuration of a transport, for attempts that take so long at most.
func sealed(transport json.RawMessage, timeout time.Duration) json.RawMessage {
	return caddyconfig.JSONModuleObject(&sealedTransport{TransportRaw: withDefaults(transport, timeout)}, "protocol", sealedTransportName, nil)
}

// afterAttempt is enough for the attempt's own end to come first, which says that it was a timeout.
const afterAttempt = 10 * time.Second

// withDefaults has the http transport leave answers as they come, unless its configuration says otherwise: what an application says of its answer's encoding may not be
// true, and a 2xx counts all the same. The fastcgi transport gives its connections up some time after the attempt is over: it heeds nothing but its own timeouts.
func withDefaults(transport json.RawMessage, timeout time.Duration) json.RawMessage {
	if transport == nil {
		transport = json.RawMessage(`{"protocol":"http"}`)
	}
	var options map[string]json.RawMessage
	if json.Unmarshal(transport, &options) != nil {
		return transport
	}
	later := strconv.FormatInt(int64(timeout+afterAttempt), 10)
	defaults := map[string]map[string]string{
		`"http"`:    {"compression": "false"},
		`"fastcgi"`: {"read_timeout": later, "write_timeout": later},
	}[string(options["protocol"])]
	if len(defaults) == 0 {
		return transport
	}
	for name, value := range defaults {
		if options[name] == nil {
			options[name] = json.RawMessage(value)
		}
	}
	return caddyModuleJSON(options)
}

// Provision loads the transport inside.
func (t *sealedTransport) Provision(ctx caddy.Context) error {
	loaded, err := ctx.LoadModule(t, "TransportRaw")
	if err != nil {
		return fmt.Errorf("loading transport: %w", err)
	}
	inner, ok := loaded.(http.RoundTripper)
	if !ok {
		return fmt.Errorf("%T is not a transport", loaded)
	}
	t.RoundTripper = inner
	_, heeds := loaded.(*reverseproxy.HTTPTransport)
	t.heedless = !heeds
	return nil
}

// RoundTrip sends a copy of the request and empties the request itself, which reverse_proxy makes for each round trip and only logs afterwards. The body is sent as it
// lies in memory: net/http writes such a one together with the header, and a buffer of reverse_proxy's is used again when an application has answered, even if it has not
// read all of it.
func (t *sealedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := checkSendable(req); err != nil { // the proxy's own header_up may hold placeholders, too
		if req.Body != nil {
			_ = req.Body.Close() // it is in memory
		}
		return nil, err
	}
	sent := *req
	if req.Body != nil && req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, err
		}
		sent.Body = body
	}
	req.Header, req.RequestURI = nil, ""
	resp, err := t.roundTrip(&sent)
	if last := lastAnswerOf(req.Context()); last != nil {
		last.note(resp)
	}
	return resp, err
}

func (t *sealedTransport) roundTrip(req *http.Request) (*http.Response, error) {
	if t.heedless {
		return roundTripWithin(req.Context(), t.RoundTripper, req)
	}
	return t.RoundTripper.RoundTrip(req)
}

// DefaultBufferSizes implements reverseproxy.BufferedTransport.
func (t *sealedTransport) DefaultBufferSizes() (request, response int64) {
	if inner, ok := t.RoundTripper.(reverseproxy.BufferedTransport); ok {
		return inner.DefaultBufferSizes()
	}
	return 0, 0
}

// RequiresContentLength implements reverseproxy.ContentLengthRequiredTransport.
func (t *sealedTransport) RequiresContentLength() bool {
	inner, ok := t.RoundTripper.(reverseproxy.ContentLengthRequiredTransport)
	return ok && inner.RequiresContentLength()
}

// RequestHeaderOps implements reverseproxy.RequestHeaderOpsTransport.
func (t *sealedTransport) RequestHeaderOps() *headers.HeaderOps {
	if inner, ok := t.RoundTripper.(reverseproxy.RequestHeaderOpsTransport); ok {
		return inner.RequestHeaderOps()
	}
	return nil
}

// ProxyProtocolEnabled implements reverseproxy.ProxyProtocolTransport.
func (t *sealedTransport) ProxyProtocolEnabled() bool {
	inner, ok := t.RoundTripper.(reverseproxy.ProxyProtocolTransport)
	return ok && inner.ProxyProtocolEnabled()
}

// OverrideHealthCheckScheme implements reverseproxy.HealthCheckSchemeOverriderTransport.
func (t *sealedTransport) OverrideHealthCheckScheme(base *url.URL, port string) {
	if inner, ok := t.RoundTripper.(reverseproxy.HealthCheckSchemeOverriderTransport); ok {
		inner.OverrideHealthCheckScheme(base, port)
	}
}

var (
	_ caddy.Provisioner                                = (*sealedTransport)(nil)
	_ reverseproxy.BufferedTransport                   = (*sealedTransport)(nil)
	_ reverseproxy.ContentLengthRequiredTransport      = (*sealedTransport)(nil)
	_ reverseproxy.RequestHeaderOpsTransport           = (*sealedTransport)(nil)
	_ reverseproxy.ProxyProtocolTransport              = (*sealedTransport)(nil)
	_ reverseproxy.HealthCheckSchemeOverriderTransport = (*sealedTransport)(nil)
)
