package caddymodule

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sluice-webhooks/sluice/queue"
)

const lifecycleSite = `webhook github {
	secret %s
	forward %s/hooks {
		retry exponential 50ms 100ms for 1h
	}
}`

// trafficSource posts events with ids of its own until it is stopped, and remembers which were acked.
type trafficSource struct {
	wg    sync.WaitGroup
	stop  chan struct{}
	mu    sync.Mutex
	acked map[string]bool
	other map[int]int // statuses that are not 2xx
}

func startTraffic(t *testing.T, g *testGateway, prefix string, writers int) *trafficSource {
	s := &trafficSource{stop: make(chan struct{}), acked: make(map[string]bool), other: make(map[int]int)}
	github := provider(t, "github")
	for w := range writers {
		s.wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-s.stop:
					return
				default:
				}
				id := fmt.Sprintf("%s-%d-%d", prefix, w, i)
				req := signedRequest(t, github, testSecret, "http://"+g.addr+"/", `{"id":"`+id+`"}`, time.Now())
				req.Header.Set("X-Github-Delivery", id)
				req.Header.Set("X-Github-Event", "push")
				status, err := post("http://"+g.addr+"/", req.Header, req.Body)
				s.mu.Lock()
				switch {
				case err == nil && status == 200:
					s.acked[id] = true
				case err == nil:
					s.other[status]++
				}
				s.mu.Unlock()
			}
		})
	}
	return s
}

func post(address string, header http.Header, body []byte) (int, error) {
	req, err := http.NewRequest(http.MethodPost, address, strings.NewReader(string(body)))
	if err != nil {
		return 0, err
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

func (s *trafficSource) finish() map[string]bool {
	close(s.stop)
	s.wg.Wait()
	return s.acked
}

// count waits until at least n events were acked.
func (s *trafficSource) await(t *testing.T, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d events acked", n), func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.acked) >= n
	})
}

// deliveredIDs counts how often each event arrived at the application.
func deliveredIDs(app *application) map[string]int {
	counts := make(map[string]int)
	for _, r := range app.all() {
		_, rest, _ := strings.Cut(string(r.body), `"data":{"id":"`)
		id, _, _ := strings.Cut(rest, `"`)
		counts[id]++
	}
	return counts
}

func wantAllDeliveredOnce(t *testing.T, app *application, acked map[string]bool) {
	t.Helper()
	eventually(t, "every acked event was delivered", func() bool {
		counts := deliveredIDs(app)
		for id := range acked {
			if counts[id] == 0 {
				return false
			}
		}
		return true
	})
	for id, n := range deliveredIDs(app) {
		if n != 1 {
			t.Errorf("%s was delivered %d times", id, n)
		}
	}
}

func TestReloadUnderLoad(t *testing.T) {
	app := startApplication(t, nil)
	site := fmt.Sprintf(lifecycleSite, testSecret, app.URL)
	g := startGateway(t, "", site)
	s := startTraffic(t, g, "reload", 4)
	for i := range 6 {
		s.await(t, (i+1)*30)
		if err := g.load("", site+fmt.Sprintf("\nheader X-Generation %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	s.await(t, 240)
	acked := s.finish()
	for status, n := range s.other {
		t.Errorf("%d requests got %d during reloads", n, status)
	}
	wantAllDeliveredOnce(t, app, acked)
}

func TestFailingReloadsLeaveTheGatewayRunning(t *testing.T) {
	app := startApplication(t, nil)
	site := fmt.Sprintf(lifecycleSite, testSecret, app.URL)
	g := startGateway(t, "", site)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s := startTraffic(t, g, "failing", 4)
	for name, broken := range map[string]string{
		"provisioning of a destination fails":    strings.Replace(site, "retry", "proxy {\n transport http {\n tls_trust_pool file /does/not/exist\n }\n }\n retry", 1),
		"provisioning of a source fails":         site + "\nhandle /other {\n webhook stripe {\n name other\n secret {env.SLUICE_TEST_NOT_SET}\n}\n}",
		"two sources of one name":                site + "\nhandle /other {\n webhook stripe {\n name github\n secret x\n}\n}",
		"another app fails to start":             site + "\n}\nhttp://" + taken.Addr().String() + " {\n respond hello",
		"an unknown directive inside the source": strings.Replace(site, "secret", "sekret", 1),
	} {
		s.mu.Lock()
		before := len(s.acked)
		s.mu.Unlock()
		if err := g.load("", broken); err == nil {
			t.Errorf("%s: loading succeeded", name)
		}
		s.await(t, before+30)
	}
	acked := s.finish()
	for status, n := range s.other {
		t.Errorf("%d requests got %d", n, status)
	}
	wantAllDeliveredOnce(t, app, acked)
}

func TestValidateBesideALiveServer(t *testing.T) {
	app := startApplication(t, nil)
	site := fmt.Sprintf(lifecycleSite, testSecret, app.URL)
	g := startGateway(t, "", site)
	for range 3 {
		config, err := adapt(g.caddyfile("", site))
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(config); err != nil {
			t.Fatalf("validating the running configuration: %v", err)
		}
	}
	resp, _ := g.sendSigned(provider(t, "github"), testSecret, "/", `{"id":"after"}`, time.Now())
	if resp.StatusCode != 200 {
		t.Fatalf("after validating: %d", resp.StatusCode)
	}
	app.await(t, 1)
}

// A request may outlive its handler's configuration. If the reload removed the gateway, it must not get a 2xx; if the gateway goes on, it is accepted.
func TestRequestThatOutlivesTheGateway(t *testing.T) {
	site := fmt.Sprintf("webhook github {\n secret %s\n}", testSecret)
	g := startGateway(t, "", site)
	resp, body := requestAcross(t, g, func() error {
		return caddy.Load([]byte(`{"admin":{"disabled":true,"config":{"persist":false}}}`), true)
	})
	if resp == nil {
		return // the connection was closed: the provider counts a failure, and that is right
	}
	wantProblem(t, resp, body, 503)
	if resp.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestRequestThatOutlivesItsConfiguration(t *testing.T) {
	app := startApplication(t, nil)
	site := fmt.Sprintf(lifecycleSite, testSecret, app.URL)
	g := startGateway(t, "", site)
	resp, body := requestAcross(t, g, func() error { return g.load("", site+"\nheader X-Generation 2") })
	if resp == nil || resp.StatusCode != 200 {
		t.Fatalf("got %v %s", resp, body)
	}
	app.await(t, 1)
}

// requestAcross sends the header of a request, does something, and sends its body. The answer is nil if there was none.
func requestAcross(t *testing.T, g *testGateway, meanwhile func() error) (*http.Response, string) {
	t.Helper()
	req := signedRequest(t, provider(t, "github"), testSecret, "http://"+g.addr+"/", `{"id":"late"}`, time.Now())
	conn, err := net.Dial("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n", g.addr, len(req.Body))
	if err := req.Header.Write(conn); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "\r\n")
	reader := bufio.NewReader(conn)
	if line, err := reader.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") { // the handler reads the body now
		t.Fatalf("%q %v", line, err)
	}
	if _, err := reader.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := meanwhile(); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(req.Body); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(reader, nil)
	if err != nil {
		return nil, ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestStateSurvivesRemovalAndReturn(t *testing.T) {
	down := startApplication(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	site := fmt.Sprintf(lifecycleSite, testSecret, down.URL)
	g := startGateway(t, "", site)
	github := provider(t, "github")
	for i := range 5 {
		if resp, _ := g.sendSigned(github, testSecret, "/", fmt.Sprintf(`{"id":"kept-%d"}`, i), time.Now()); resp.StatusCode != 200 {
			t.Fatalf("ack: %d", resp.StatusCode)
		}
	}
	down.await(t, 5)
	if err := caddy.Load([]byte(`{"admin":{"disabled":true,"config":{"persist":false}}}`), true); err != nil {
		t.Fatal(err)
	}
	if err := g.load("", "respond gone"); err != nil { // the gateway is there, its source and destination are not
		t.Fatal(err)
	}
	up := startApplication(t, nil)
	if err := g.load(fmt.Sprintf("destination github-%s-hooks {\n to %s\n}", strings.NewReplacer("http://", "", ":", "-").Replace(down.URL), up.URL), "respond back"); err != nil {
		t.Fatal(err)
	}
	up.await(t, 5)
}

// A server may take a request for a configuration whose loading fails before the gateway's turn has come. Its handler goes on with the gateway that runs.
func TestRequestToAConfigurationThatNeverStarted(t *testing.T) {
	startGateway(t, "", fmt.Sprintf("webhook github {\n secret %s\n}", testSecret))
	running, err := activeApp()
	if err != nil {
		t.Fatal(err)
	}
	want, err := running.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	failed := &App{store: running.store}
	if err := failed.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if rt, err := failed.acquire(t.Context()); rt != want || err != nil {
		t.Errorf("%p, %v, want %p", rt, err, want)
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := failed.acquire(t.Context()); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("%v, want %v", err, queue.ErrClosed)
	}
}
