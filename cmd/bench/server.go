package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// server is a Caddy of its own: plain, a reverse proxy, or the gateway.
type server struct {
	*process
	addr  string // of the site
	home  string // its directory
	admin *http.Client
}

// sites are what a server does.
const (
	sitePlain   = "bench_plain"
	siteProxy   = "reverse_proxy %s"
	siteGateway = `webhook github {
		secret "` + secret + `"
		forward application
	}`
	optionsGateway = `webhooks {
		store badger %s
		destination application {
			to %s
			format original
		}
	}`
)

const startTimeout = 30 * time.Second

// startServer starts a Caddy with a site and global options.
func (b *bench) startServer(ctx context.Context, name, options, site string) (*server, error) {
	b.servers++
	home := filepath.Join(b.dir, fmt.Sprintf("%s-%d", name, b.servers))
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, err
	}
	return launch(ctx, name, home, options, site)
}

func launch(ctx context.Context, name, home, options, site string) (*server, error) {
	addr, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(home, "admin.sock")
	config := fmt.Sprintf("{\n\tadmin unix/%s\n\tpersist_config off\n\tauto_https off\n\tlog {\n\t\tlevel WARN\n\t}\n\t%s\n}\nhttp://%s {\n\t%s\n}\n",
		socket, options, addr, site)
	path := filepath.Join(home, "Caddyfile")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return nil, err
	}
	s := &server{addr: addr, home: home, admin: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}}}
	env := []string{"XDG_DATA_HOME=" + home, "XDG_CONFIG_HOME=" + home}
	if s.process, err = startProcess(name, roleCaddy, filepath.Join(home, "log"), env, "run", "--config", path, "--adapter", "caddyfile"); err != nil {
		return nil, err
	}
	return s, s.await(ctx)
}

// startGateway starts a gateway with an empty store that forwards to an address.
func (b *bench) startGateway(ctx context.Context, name, to string) (*server, error) {
	store := filepath.Join(b.dir, fmt.Sprintf("%s-store-%d", name, b.servers))
	return b.startConfigured(ctx, name, fmt.Sprintf(optionsGateway, store, to), siteGateway)
}

// startConfigured starts a gateway and waits until it is in charge.
func (b *bench) startConfigured(ctx context.Context, name, options, site string) (*server, error) {
	s, err := b.startServer(ctx, name, options, site)
	if err != nil {
		return nil, err
	}
	// sites listen before the configuration is the active one
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if pollErr := poll(ctx, 5*time.Millisecond, func() bool {
		_, err = s.call(ctx, http.MethodGet, "/webhooks/status")
		return err == nil
	}); pollErr != nil {
		return nil, errors.Join(err, pollErr, s.kill())
	}
	return s, nil
}

// startPaused starts a gateway that accepts and delivers nothing.
func (b *bench) startPaused(ctx context.Context, to string) (*server, error) {
	s, err := b.startGateway(ctx, "gateway", to)
	if err != nil {
		return nil, err
	}
	return s, s.operate(ctx, "pause")
}

// operate pauses or resumes the application.
func (s *server) operate(ctx context.Context, what string) error {
	return s.operateOn(ctx, "application", what)
}

func (s *server) operateOn(ctx context.Context, destination, what string) error {
	_, err := s.call(ctx, http.MethodPost, "/webhooks/destinations/"+destination+"/"+what)
	return err
}

// await returns when the site can be reached.
func (s *server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	dead := false
	err := poll(ctx, 5*time.Millisecond, func() bool {
		select {
		case <-s.exit:
			dead = true
			return true
		default:
		}
		c, err := dial(ctx, s.addr)
		if err == nil {
			c.conn.Close()
		}
		return err == nil
	})
	if dead {
		return s.died()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%s does not listen: %w", s.name, err), s.kill())
	}
	return nil
}

// call asks the admin API.
func (s *server) call(ctx context.Context, method, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := s.admin.Do(req)
	if err != nil {
		return nil, fmt.Errorf("admin API of %s: %w", s.name, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("admin API of %s: %s %s: %s: %s", s.name, method, path, resp.Status, answer)
	}
	return answer, err
}

// profile writes a CPU profile of the next seconds to a file.
func (s *server) profile(ctx context.Context, path string, d time.Duration) error {
	raw, err := s.call(ctx, http.MethodGet, fmt.Sprintf("/debug/pprof/profile?seconds=%d", max(1, int(d.Seconds()))))
	if err != nil {
		return err
	}
	return os.WriteFile(path, raw, 0o600)
}

// stopAll stops servers.
func stopAll(servers ...*server) error {
	var err error
	for _, s := range servers {
		if s != nil {
			s.admin.CloseIdleConnections()
			err = errors.Join(err, s.stop())
		}
	}
	return err
}

// freeAddress returns an address of this machine at which nobody listens.
func freeAddress(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
