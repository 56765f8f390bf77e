package rig

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-webhooks/sluice/caddymodule/sender"
	"github.com/sluice-webhooks/sluice/verifiers"
)

// BinaryVariable names the environment variable with the Caddy to run; without it one is built.
const BinaryVariable = "SLUICE_CADDY"

// Build returns the Caddy to run: that of BinaryVariable, or one that is built into dir.
func Build(ctx context.Context, dir string) (string, error) {
	if binary := os.Getenv(BinaryVariable); binary != "" {
		return binary, nil
	}
	binary := filepath.Join(dir, "caddy")
	build := exec.CommandContext(ctx, "go", "build", "-C", filepath.Join("..", "cmd", "caddy"), "-o", binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the gateway: %w\n%s", err, out)
	}
	return binary, nil
}

// Gateway is a running Caddy whose site listens on a socket.
type Gateway struct {
	Dir    string // for files of the configuration; gone after Stop
	socket string
	cmd    *exec.Cmd
	log    *bufio.Scanner
	read   chan struct{} // closed when its log has ended
	client *sender.Client
}

// started is what Caddy logs when it serves.
const started = "serving initial configuration"

// Start runs binary with a site. site writes the site's part of the Caddyfile, and may put files into dir.
func Start(ctx context.Context, binary string, site func(dir string) (string, error)) (*Gateway, error) {
	dir, err := os.MkdirTemp("", "sluice-crosscheck-") // short, as the path of a socket must be
	if err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	g := &Gateway{Dir: dir, socket: filepath.Join(dir, "site"), read: make(chan struct{})}
	if err := g.start(ctx, binary, site); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return g, nil
}

func (g *Gateway) start(ctx context.Context, binary string, site func(dir string) (string, error)) error {
	text, err := site(g.Dir)
	if err != nil {
		return err
	}
	file := filepath.Join(g.Dir, "Caddyfile")
	config := fmt.Sprintf(`{
	admin "unix/%[1]s/admin"
	persist_config off
	auto_https off
	grace_period 2s
	webhooks {
		store badger "%[1]s/store" {
			min_free 1MiB
		}
	}
}
http:// {
	bind "unix/%[1]s/site"
%[2]s}
`, filepath.ToSlash(g.Dir), text)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	g.cmd = exec.CommandContext(ctx, binary, "run", "--config", file, "--adapter", "caddyfile")
	g.cmd.Env = append(os.Environ(), "HOME="+g.Dir, "XDG_DATA_HOME="+g.Dir, "XDG_CONFIG_HOME="+g.Dir)
	g.cmd.Cancel = func() error { return g.cmd.Process.Signal(syscall.SIGTERM) }
	stderr, err := g.cmd.StderrPipe()
	if err != nil {
		return fmt.Errorf("starting the gateway: %w", err)
	}
	if err := g.cmd.Start(); err != nil {
		return fmt.Errorf("starting the gateway: %w", err)
	}
	g.log = bufio.NewScanner(stderr)
	g.log.Buffer(nil, 1<<20)
	if err := g.awaitStart(); err != nil {
		return err
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", g.socket)
	}
	g.client = sender.NewClient(30*time.Second, time.Now)
	g.client.HTTP.Transport = &http.Transport{DialContext: dial}
	go func() { // ends with the process, which Stop waits for
		defer close(g.read)
		for g.log.Scan() {
		}
	}()
	return nil
}

// awaitStart reads the log until Caddy serves. If it ends before, the error is what it said.
func (g *Gateway) awaitStart() error {
	var said strings.Builder
	for g.log.Scan() {
		if strings.Contains(g.log.Text(), started) {
			return nil
		}
		said.WriteString(g.log.Text() + "\n")
	}
	return fmt.Errorf("gateway did not start: %w\n%s", errors.Join(g.log.Err(), g.cmd.Wait()), said.String())
}

// Send sends a request as the provider does, and returns the gateway's answer.
func (g *Gateway) Send(ctx context.Context, r *verifiers.Request) (sender.Answer, error) {
	return g.client.Send(ctx, r, nil)
}

// Stop ends it and removes its files.
func (g *Gateway) Stop() error {
	g.client.HTTP.CloseIdleConnections()
	err := g.cmd.Process.Signal(syscall.SIGTERM)
	<-g.read
	return errors.Join(err, g.cmd.Wait(), os.RemoveAll(g.Dir))
}

// Arrived is a request that reached an application. Its body has been read.
type Arrived struct {
	Request *http.Request
	Body    []byte
}

// Application takes requests for as long as it runs. The address that a client called is in the Request's URL in full.
type Application struct {
	URL     *url.URL
	Arrived chan Arrived
	server  *http.Server
	served  chan error
}

// maxWaiting is how many requests an Application holds that nobody has looked at.
const maxWaiting = 64

// NewApplication starts an Application, which answers 200 to everything.
func NewApplication(ctx context.Context) (*Application, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting the application: %w", err)
	}
	a := &Application{
		URL: &url.URL{Scheme: "http", Host: listener.Addr().String()}, Arrived: make(chan Arrived, maxWaiting), served: make(chan error, 1),
	}
	a.server = &http.Server{Handler: http.HandlerFunc(a.take), ReadHeaderTimeout: 10 * time.Second}
	go func() { a.served <- a.server.Serve(listener) }()
	return a, nil
}

func (a *Application) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "body cannot be read", http.StatusBadRequest)
		return
	}
	whole := r.Clone(context.WithoutCancel(r.Context()))
	whole.URL.Scheme, whole.URL.Host = "http", r.Host
	select {
	case a.Arrived <- Arrived{Request: whole, Body: body}:
	default:
		http.Error(w, "too many requests are waiting", http.StatusServiceUnavailable)
	}
}

// Stop ends it.
func (a *Application) Stop() error {
	err := a.server.Close()
	if served := <-a.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
