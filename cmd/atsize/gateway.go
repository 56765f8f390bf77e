package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-webhooks/sluice/verifiers"
	"github.com/sluice-webhooks/sluice/verifiers/catalogue"
)

// gateway is a running Caddy with the filled store.
type gateway struct {
	binary  string
	socket  string
	address string // of the source
	pages   string // address of the dashboard
	cmd     *exec.Cmd
	exit    chan error
	log     *bytes.Buffer
	app     *httptest.Server
	client  *http.Client
}

const secret = "whsec_atsize"

func startGateway(ctx context.Context, o *options, work string) (*gateway, error) {
	g := &gateway{binary: o.caddy, socket: filepath.Join(work, "admin.sock"), exit: make(chan error, 1), log: new(bytes.Buffer)}
	if g.binary == "" {
		g.binary = filepath.Join(work, "caddy")
		build := exec.CommandContext(ctx, "go", "build", "-o", g.binary, "github.com/sluice-webhooks/sluice/cmd/caddy")
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("building: %w\n%s", err, out)
		}
	}
	for _, address := range []*string{&g.address, &g.pages} {
		free, err := freeAddress(ctx)
		if err != nil {
			return nil, err
		}
		*address = "http://" + free
	}
	g.app = httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	g.client = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", g.socket)
	}}}
	config := filepath.Join(work, "Caddyfile")
	text := fmt.Sprintf("{\n\tadmin unix/%s\n\tpersist_config off\n\tauto_https off\n\tlog {\n\t\tlevel ERROR\n\t}\n\twebhooks {\n\t\tstore badger %q {\n\t\t\tmin_free 1MiB\n\t\t}\n"+
		"\t\tdestination %s {\n\t\t\tto %s\n\t\t}\n\t\tdestination %s {\n\t\t\tto %s\n\t\t\tconcurrency 1\n\t\t\trate 1/h\n\t\t}\n\t}\n}\n%s {\n\twebhook stripe {\n\t\tname %s\n\t\tsecret %s\n\t\tforward %s\n\t}\n}\n%s {\n\twebhooks_dashboard\n}\n",
		g.socket, o.dir, delivering, g.app.URL, stuck, g.app.URL, g.address, sourceName, secret, delivering, g.pages)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	started := time.Now()
	g.cmd = exec.Command(g.binary, "run", "--config", config) //nolint:noctx // stop ends it
	g.cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+work, "XDG_CONFIG_HOME="+work)
	g.cmd.Stdout, g.cmd.Stderr = g.log, g.log
	if err := g.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { g.exit <- g.cmd.Wait() }()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if g.ask(ctx, http.MethodGet, "status", nil) == nil {
				fmt.Printf("gateway is up after %.1f s\n", time.Since(started).Seconds())
				return g, nil
			}
		case err := <-g.exit:
			return nil, fmt.Errorf("gateway ended: %w\n%s", err, g.log)
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), g.stop())
		}
	}
}

func freeAddress(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func (g *gateway) get(ctx context.Context, path string) (*http.Response, error) {
	return g.call(ctx, http.MethodGet, path, nil)
}

func (g *gateway) call(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://localhost/webhooks/"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return g.client.Do(req)
}

func (g *gateway) stop() error {
	defer g.app.Close()
	if err := g.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return <-g.exit
}

// load sends signed events at a rate until ctx ends, and returns how many were accepted and how many were not.
func (g *gateway) load(ctx context.Context, rate int) (accepted, failed uint64, err error) {
	if rate <= 0 {
		<-ctx.Done()
		return 0, 0, nil
	}
	spec, err := catalogue.Lookup("stripe")
	if err != nil {
		return 0, 0, err
	}
	provider, err := verifiers.Compile(spec)
	if err != nil {
		return 0, 0, err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	var good, bad atomic.Uint64
	var workers sync.WaitGroup
	jobs := make(chan int, rate)
	for range 64 {
		workers.Go(func() {
			for n := range jobs {
				if g.send(client, provider, n) {
					good.Add(1)
				} else {
					bad.Add(1)
				}
			}
		})
	}
	const step = 10 * time.Millisecond
	tick := time.NewTicker(step)
	defer tick.Stop()
	first := time.Now()
	for sent := 0; ; {
		select {
		case <-ctx.Done():
			close(jobs)
			workers.Wait()
			return good.Load(), bad.Load(), nil
		case <-tick.C:
			for due := int(time.Since(first).Seconds() * float64(rate)); sent < due; sent++ {
				select {
				case jobs <- sent:
				default: // the gateway is slower than that; it is counted in what was accepted
				}
			}
		}
	}
}

func (g *gateway) send(client *http.Client, provider *verifiers.Provider, n int) bool {
	at := time.Now()
	body := fmt.Sprintf(`{"id":"evt_live_%d_%d","type":"invoice.paid","created":%d,"data":{"object":{"id":"in_1"}}}`, at.UnixNano(), n, at.Unix())
	address, err := url.Parse(g.address)
	if err != nil {
		return false
	}
	signed := &verifiers.Request{Method: http.MethodPost, URL: address, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(body), At: at}
	if err := provider.Sign(signed, verifiers.NewSecret([]byte(secret)), "", at); err != nil {
		return false
	}
	req, err := http.NewRequest(http.MethodPost, g.address, bytes.NewReader(signed.Body)) //nolint:noctx // the gateway answers within its deadline
	if err != nil {
		return false
	}
	req.Header = signed.Header
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
