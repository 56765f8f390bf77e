package caddymodule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

// maxAdminAnswer bounds what a command reads of one answer.
const maxAdminAnswer = 64 << 20

// adminClient calls the admin API of a running Caddy.
type adminClient struct {
	address string // as the operator knows it
	origin  string
	local   bool // no Origin needed: a unix socket
	http    *http.Client
}

// connectFlags adds the flags by which Caddy's own commands find the admin API.
func connectFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.String("address", "", "Address of the admin API, if not that of the configuration or the default")
	f.StringP("config", "c", "", "Configuration file that has the address of the admin API")
	f.StringP("adapter", "a", "", "Name of the configuration adapter")
}

// connect finds the admin API as Caddy's own commands do.
func connect(cmd *cobra.Command) (*adminClient, error) {
	var values [3]string
	for i, name := range []string{"address", "config", "adapter"} {
		var err error
		if values[i], err = cmd.Flags().GetString(name); err != nil {
			return nil, usageError(err)
		}
	}
	address, err := caddycmd.DetermineAdminAPIAddress(values[0], nil, values[1], values[2])
	if err != nil {
		return nil, usagef("address of the admin API: %w", err)
	}
	return newAdminClient(address)
}

func newAdminClient(address string) (*adminClient, error) {
	parsed, err := caddy.ParseNetworkAddress(address)
	if err != nil || parsed.PortRangeSize() > 1 {
		return nil, usagef("address %q of the admin API is not one", address)
	}
	c := &adminClient{address: address, origin: "http://127.0.0.1"}
	target := parsed.JoinHostPort(0)
	if parsed.IsUnixNetwork() || parsed.IsFdNetwork() {
		c.local = true
		target, _, _ = strings.Cut(target, "|") // permission bits are the server's affair
	} else {
		c.origin = "http://" + target
	}
	c.http = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, parsed.Network, target)
		},
	}}
	return c, nil
}

// segment escapes a name or an id as one part of a path: dots too, which would mean another path.
func segment(id string) string {
	if strings.Trim(id, ".") == "" {
		return strings.ReplaceAll(id, ".", "%2E")
	}
	return url.PathEscape(id)
}

// open makes a call and returns its answer if it is a good one. The caller closes the body.
func (c *adminClient) open(ctx context.Context, method, path string, query url.Values, body any) (*http.Response, error) {
	var reader io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("encoding the request: %w", err)
		}
		reader = bytes.NewReader(raw)
	}
	contentType := ""
	if body != nil {
		contentType = "application/json"
	}
	return c.do(ctx, method, path, query, http.Header{"Content-Type": {contentType}}, reader)
}

// stream makes a call whose answer is server-sent events.
func (c *adminClient) stream(ctx context.Context, method, path string, query url.Values) (*http.Response, error) {
	return c.do(ctx, method, path, query, http.Header{"Accept": {"text/event-stream"}}, nil)
}

// send posts a body that is read as it is sent.
func (c *adminClient) send(ctx context.Context, path string, query url.Values, contentType string, body io.Reader) (*http.Response, error) {
	return c.do(ctx, http.MethodPost, path, query, http.Header{"Content-Type": {contentType}}, body)
}

func (c *adminClient) do(ctx context.Context, method, path string, query url.Values, header http.Header, body io.Reader) (*http.Response, error) {
	address := c.origin + adminPrefix + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, usageError(err)
	}
	if !c.local {
		req.Header.Set("Origin", c.origin)
	}
	for name, values := range header {
		if values[0] != "" {
			req.Header[name] = values
		}
	}
	resp, err := c.request(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		if hungUp(err) {
			return nil, &commandError{code: exitFailed, err: fmt.Errorf("%s took the request and ended the connection without an answer, as a reload or a stop does: %w; see whether it was done before you do it again", c.address, err)}
		}
		return nil, &commandError{code: exitUnreachable, err: fmt.Errorf("no admin API at %s: %w; is Caddy running? (--address, --config)", c.address, err)}
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, c.refusal(resp)
}

// request sends a request. One that only reads is sent again where the configuration before a reload had taken the connection, and left.
func (c *adminClient) request(req *http.Request) (*http.Response, error) {
	for tries := 1; ; tries++ {
		resp, err := c.http.Do(req)
		if !hungUp(err) || req.Method != http.MethodGet || tries == 3 {
			return resp, err
		}
	}
}

// hungUp reports whether a connection that was there has ended before its answer.
func hungUp(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) }

// refusal turns an answer that is no success into an error with its exit code.
func (c *adminClient) refusal(resp *http.Response) error {
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAdminAnswer))
	if err != nil {
		return fmt.Errorf("admin API answered %d, and then broke off: %w", resp.StatusCode, err)
	}
	return c.problem(raw, resp)
}

// errLeaving means that the gateway is on its way out, as it is at a reload; the next one answers. The text is the gateway's.
var errLeaving = errors.New("")

// problem turns the text of a problem into an error with its exit code.
func (c *adminClient) problem(raw []byte, resp *http.Response) error {
	var p apiProblem
	if err := json.Unmarshal(raw, &p); err != nil || p.Code == "" {
		return c.stranger(resp) // Caddy's own refusal, or a Caddy without the plugin
	}
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	code := exitFailed
	switch {
	case p.Code == "no_webhooks", p.Code == "not_active":
		code = exitUnreachable
	case slices.Contains([]string{"not_found", "unknown_destination", "no_replay"}, p.Code):
		code = exitNotFound
	case p.Code == "bad_request":
		code = exitUsage
	}
	if p.Code == "store_closed" {
		return &commandError{code: code, err: fmt.Errorf("%w%s", errLeaving, text)}
	}
	return &commandError{code: code, err: errors.New(text)}
}

// stranger is the error for an answer that is not from the gateway.
func (c *adminClient) stranger(resp *http.Response) error {
	return &commandError{
		code: exitUnreachable,
		err:  fmt.Errorf("%s answered %s: it is not a Caddy with the webhook gateway, or it refuses us", c.address, resp.Status),
	}
}

// call makes a call, decodes its answer into v, and returns it as it came.
func (c *adminClient) call(ctx context.Context, method, path string, query url.Values, body, v any) (json.RawMessage, error) {
	resp, err := c.open(ctx, method, path, query, body)
	if err != nil {
		return nil, err
	}
	return c.answer(resp, v)
}

// answer decodes an answer into v, and returns it as it came.
func (c *adminClient) answer(resp *http.Response, v any) (json.RawMessage, error) {
	defer resp.Body.Close()
	if resp.Header.Get("Content-Type") != "application/json" {
		return nil, c.stranger(resp)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAdminAnswer))
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return nil, fmt.Errorf("answer of the admin API cannot be read: %w", err)
	}
	return raw, nil
}

func (c *adminClient) get(ctx context.Context, path string, query url.Values, v any) (json.RawMessage, error) {
	return c.call(ctx, http.MethodGet, path, query, nil, v)
}

func (c *adminClient) post(ctx context.Context, path string, query url.Values, body, v any) (json.RawMessage, error) {
	return c.call(ctx, http.MethodPost, path, query, body, v)
}
