package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/verifiers"
	"github.com/sluice-webhooks/sluice/verifiers/catalogue"
)

// The test binary is also the gateway: started with this variable it is Caddy.
const asCaddy = "SLUICE_TEST_AS_CADDY"

func TestMain(m *testing.M) {
	if os.Getenv(asCaddy) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

const crashSecret = "a secret of the crash test"

// TestKillUnderLoad kills the gateway with SIGKILL at random instants while eight senders send, and starts it again. Every event that was acked must reach
// the application with its bytes. SLUICE_TORTURE_CYCLES sets the number of kills (default 4).
func TestKillUnderLoad(t *testing.T) {
	cycles := 4
	if n, err := strconv.Atoi(os.Getenv("SLUICE_TORTURE_CYCLES")); err == nil {
		cycles = n
	} else if testing.Short() {
		cycles = 2
	}
	app := startCounting(t)
	g := newProcess(t, app.URL)
	g.start(t)
	senders := startSenders(t, g.addr, 8)
	for range cycles {
		senders.awaitMore(t, 50)
		random := time.NewTimer(time.Duration(rand.IntN(600)) * time.Millisecond)
		<-random.C
		g.kill(t)
		g.start(t)
	}
	senders.awaitMore(t, 50)
	acked := senders.stop()
	app.awaitAll(t, acked)
	t.Logf("%d kills, %d events acked, %d arrived, %d deliveries beyond the first", cycles, len(acked), app.count(), app.repeated())
}

// process is the gateway as a process of its own.
type process struct {
	addr, config, home string
	cmd                *exec.Cmd
	log                *os.File
}

func newProcess(t *testing.T, application string) *process {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &process{addr: l.Addr().String(), home: t.TempDir()}
	l.Close()
	p.config = filepath.Join(p.home, "Caddyfile")
	config := fmt.Sprintf(`{
	admin unix/%[1]s/admin.sock
	persist_config off
	auto_https off
	webhooks {
		store badger %[1]s/store {
			min_free 1KiB
		}
	}
}
http://%[2]s {
	webhook github {
		secret "%[3]s"
		deadline 2s
		forward %[4]s {
			format original
			retry exponential 20ms 200ms for 10m
			breaker off
		}
	}
}
`, p.home, p.addr, crashSecret, application)
	if err := os.WriteFile(p.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if p.log, err = os.Create(filepath.Join(p.home, "log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.stop()
		p.log.Close()
		if t.Failed() {
			content, _ := os.ReadFile(p.log.Name())
			t.Logf("end of the gateway's log:\n%s", content[max(0, len(content)-4000):])
		}
	})
	return p
}

func (p *process) start(t *testing.T) {
	t.Helper()
	p.cmd = exec.Command(os.Args[0], "run", "--config", p.config)
	p.cmd.Env = append(os.Environ(), asCaddy+"=1", "XDG_DATA_HOME="+p.home, "XDG_CONFIG_HOME="+p.home)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
}

func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait() // it was killed
}

func (p *process) stop() {
	if p.cmd != nil && p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Signal(os.Interrupt)
		_ = p.cmd.Wait()
	}
}

// counting is an application that counts what it receives.
type counting struct {
	*httptest.Server
	mu     sync.Mutex
	bodies map[string]string // by event id
	times  map[string]int
}

func startCounting(t *testing.T) *counting {
	c := &counting{bodies: map[string]string{}, times: map[string]int{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the gateway was killed while it sent
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		id := r.Header.Get("X-Github-Delivery")
		c.bodies[id] = string(body)
		c.times[id]++
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *counting) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.bodies)
}

func (c *counting) repeated() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, times := range c.times {
		n += times - 1
	}
	return n
}

func (c *counting) awaitAll(t *testing.T, acked map[string]string) {
	t.Helper()
	missing := func() (ids []string) {
		c.mu.Lock()
		defer c.mu.Unlock()
		for id, body := range acked {
			if got, ok := c.bodies[id]; !ok {
				ids = append(ids, id)
			} else if got != body {
				t.Errorf("%s arrived with other bytes", id)
			}
		}
		return ids
	}
	poll(t, func() bool { return len(missing()) == 0 }, func() string {
		return fmt.Sprintf("%d of %d acked events did not arrive", len(missing()), len(acked))
	})
}

func poll(t *testing.T, done func() bool, what func() string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal(what())
		}
	}
}

// senders send signed events until they are stopped, and keep those that were acked.
type senders struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
	mu     sync.Mutex
	acked  map[string]string
}

func startSenders(t *testing.T, addr string, n int) *senders {
	spec, err := catalogue.Lookup("github")
	if err != nil {
		t.Fatal(err)
	}
	github, err := verifiers.Compile(spec)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &senders{cancel: cancel, acked: make(map[string]string)}
	for w := range n {
		s.wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				id := fmt.Sprintf("%d-%d", w, i)
				body := fmt.Sprintf(`{"id":%q,"padding":%q}`, id, strings.Repeat("x", rand.IntN(3000)))
				if send(ctx, github, addr, id, body) {
					s.mu.Lock()
					s.acked[id] = body
					s.mu.Unlock()
				}
			}
		})
	}
	return s
}

// send reports whether the event was acked.
func send(ctx context.Context, github *verifiers.Provider, addr, id, body string) bool {
	r := &verifiers.Request{
		Method: http.MethodPost, URL: &url.URL{Scheme: "http", Host: addr, Path: "/"}, Body: []byte(body),
		Header: http.Header{"Content-Type": {"application/json"}, "X-Github-Delivery": {id}, "X-Github-Event": {"push"}},
	}
	if err := github.Sign(r, verifiers.NewSecret([]byte(crashSecret)), id, time.Now()); err != nil {
		return false
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL.String(), bytes.NewReader(r.Body))
	if err != nil {
		return false
	}
	req.Header = r.Header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err == nil && resp.StatusCode == http.StatusOK
}

func (s *senders) awaitMore(t *testing.T, n int) {
	t.Helper()
	count := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.acked)
	}
	goal := count() + n
	poll(t, func() bool { return count() >= goal }, func() string { return fmt.Sprintf("%d events acked, waiting for %d", count(), goal) })
}

func (s *senders) stop() map[string]string {
	s.cancel()
	s.wg.Wait()
	return maps.Clone(s.acked)
}
