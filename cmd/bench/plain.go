package main

import (
	"bytes"
	"net/http"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	caddy.RegisterModule(plain{})
	httpcaddyfile.RegisterHandlerDirective("bench_plain", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		h.Next()
		return plain{}, nil
	})
	httpcaddyfile.RegisterDirectiveOrder("bench_plain", httpcaddyfile.Before, "respond")
}

// plain is the ceiling: a handler that reads the body and answers 202.
type plain struct{}

// CaddyModule returns the Caddy module information.
func (plain) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.bench_plain", New: func() caddy.Module { return new(plain) }}
}

var plainBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (plain) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	buf, ok := plainBuffers.Get().(*bytes.Buffer)
	if !ok {
		buf = new(bytes.Buffer)
	}
	defer plainBuffers.Put(buf)
	buf.Reset()
	if _, err := buf.ReadFrom(r.Body); err != nil {
		return caddyhttp.Error(http.StatusBadRequest, err)
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

var _ caddyhttp.MiddlewareHandler = plain{}
