// Package sandbox runs a Caddy inside this process for a while, for commands that show or try something: on free local ports, without touching the
// user's own configuration, data or log.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

// GlobalOptions belong into the configuration of every sandbox: they keep Caddy from writing anything outside of it.
const GlobalOptions = `
	persist_config off
	auto_https off
	storage_clean_interval off
	grace_period 2s
`

// Sandbox is a running Caddy. There can be only one in a process.
type Sandbox struct {
	Address string // host and port for a site
	Admin   string // of the admin API
	quiet   func() // gives Caddy's log back
}

// addressTries is how often free ports are looked for: between finding one and listening on it, another program may take it.
const addressTries = 3

// Start runs Caddy with the Caddyfile that configure writes for two free addresses, one for a site and one for the admin API.
func Start(ctx context.Context, configure func(address, admin string) (string, error)) (*Sandbox, error) {
	_, original, _ := caddy.BufferedLog() // what Caddy says before it has a configuration goes where that configuration says
	s := &Sandbox{quiet: func() { caddy.UnbufferDefaultLogger(original) }}
	var err error
	for range addressTries {
		if err = s.start(ctx, configure); !isAddressInUse(err) {
			break
		}
	}
	if err != nil {
		s.quiet()
		return nil, err
	}
	return s, nil
}

func isAddressInUse(err error) bool {
	return err != nil && (errors.Is(err, syscall.EADDRINUSE) || strings.Contains(err.Error(), "address already in use"))
}

func (s *Sandbox) start(ctx context.Context, configure func(address, admin string) (string, error)) (err error) {
	if s.Address, err = freeAddress(ctx); err != nil {
		return err
	}
	if s.Admin, err = freeAddress(ctx); err != nil {
		return err
	}
	text, err := configure(s.Address, s.Admin)
	if err != nil {
		return err
	}
	return s.Load(text)
}

// Load replaces the configuration by another Caddyfile, as `caddy reload` does.
func (s *Sandbox) Load(text string) error {
	adapter := caddyfile.Adapter{ServerType: httpcaddyfile.ServerType{}}
	config, _, err := adapter.Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	if err := caddy.Load(config, true); err != nil {
		return fmt.Errorf("loading the configuration: %w", err)
	}
	return nil
}

func freeAddress(ctx context.Context) (string, error) {
	l, err := Listen(ctx)
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	return address, nil
}

// Listen listens on a free port of this machine alone.
func Listen(ctx context.Context) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
}

// Stop ends it.
func (s *Sandbox) Stop() error {
	defer s.quiet()
	if err := caddy.Stop(); err != nil {
		return fmt.Errorf("stopping the gateway: %w", err)
	}
	return nil
}
