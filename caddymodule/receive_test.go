package caddymodule

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/verifiers"
	"github.com/sluice-webhooks/sluice/verifiers/catalogue"
)

const testSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"

func provider(t testing.TB, id string) *verifiers.Provider {
	t.Helper()
	spec, err := catalogue.Lookup(id)
	if err != nil {
		t.Fatal(err)
	}
	p, err := verifiers.Compile(spec)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func signedRequest(t testing.TB, p *verifiers.Provider, secret, address, body string, at time.Time) *verifiers.Request {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	r := &verifiers.Request{
		Method: http.MethodPost, URL: u, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(body), At: at,
	}
	if err := p.Sign(r, verifiers.NewSecret([]byte(secret)), "msg_1", at); err != nil {
		t.Fatal(err)
	}
	return r
}

func wantProblem(t *testing.T, resp *http.Response, body string, status int) {
	t.Helper()
	if resp.StatusCode != status {
		t.Fatalf("status %d, want %d: %s", resp.StatusCode, status, body)
	}
	var p problem
	if err := json.Unmarshal([]byte(body), &p); err != nil || p.Status != status || resp.Header.Get("Content-Type") != problemType {
		t.Errorf("not a problem of status %d: %s %q", status, resp.Header.Get("Content-Type"), body)
	}
}

func TestReceivesVerifiedEvent(t *testing.T) {
	app := startApplication(t, nil)
	g := startGateway(t, "", fmt.Sprintf("webhook stripe {\n secret %s\n forward %s/hooks?x=1\n}", testSecret, app.URL))
	stripe := provider(t, "stripe")
	const body = `{"id":"evt_1","type":"invoice.paid","created":1700000000,"data":{"object":{"amount":1.10}}}`

	resp, answer := g.sendSigned(stripe, testSecret, "/", body, time.Now())
	if resp.StatusCode != http.StatusOK || answer != "" {
		t.Fatalf("ack: %d %q", resp.StatusCode, answer)
	}
	got := app.await(t, 1)[0]
	if got.path != "/hooks?x=1" {
		t.Errorf("path %q", got.path)
	}
	var ce struct {
		SpecVersion, ID, Source, Type, Time, Provider string
		Data                                          json.RawMessage
	}
	if err := json.Unmarshal(got.body, &ce); err != nil {
		t.Fatalf("%v in %s", err, got.body)
	}
	if ce.SpecVersion != "1.0" || ce.ID != "evt_1" || ce.Source != "/webhooks/stripe" || ce.Type != "invoice.paid" || ce.Provider != "stripe" ||
		ce.Time != "2023-11-14T22:13:20Z" || string(ce.Data) != body {
		t.Errorf("cloud event %s", got.body)
	}
	for _, name := range []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Attempt"} {
		if got.header.Get(name) == "" {
			t.Errorf("no %s", name)
		}
	}

	// a duplicate gets the same ack and is not delivered again, whatever its signature's time
	resp, answer = g.sendSigned(stripe, testSecret, "/", body, time.Now().Add(-time.Minute))
	if resp.StatusCode != http.StatusOK || answer != "" {
		t.Fatalf("ack of a duplicate: %d %q", resp.StatusCode, answer)
	}
	g.sendSigned(stripe, testSecret, "/", strings.Replace(body, "evt_1", "evt_2", 1), time.Now())
	if all := app.await(t, 2); !strings.Contains(string(all[1].body), "evt_2") {
		t.Errorf("the duplicate was delivered: %s", all[1].body)
	}
}

func TestRefusals(t *testing.T) {
	g := startGateway(t, "", fmt.Sprintf("handle /s {\n webhook stripe {\n secret %s\n max_body 1KiB\n}\n}", testSecret))
	stripe := provider(t, "stripe")
	const body = `{"id":"evt_1","type":"ping"}`
	good := signedRequest(t, stripe, testSecret, "http://"+g.addr+"/s", body, time.Now())

	var bodies []string
	refused := func(name string, header http.Header, body string, status int) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			resp, answer := g.do(http.MethodPost, "/s", header, body)
			wantProblem(t, resp, answer, status)
			if status == http.StatusUnauthorized {
				bodies = append(bodies, answer)
			}
		})
	}
	refused("no signature", nil, body, 401)
	refused("empty signature", http.Header{"Stripe-Signature": {""}}, body, 401)
	refused("garbage", http.Header{"Stripe-Signature": {"v1=zz,t=x,,="}}, body, 401)
	refused("tampered", good.Header, body+" ", 401)
	refused("wrong secret", signedRequest(t, stripe, "whsec_other", "http://x/s", body, time.Now()).Header, body, 401)
	refused("stale", signedRequest(t, stripe, testSecret, "http://x/s", body, time.Now().Add(-time.Hour)).Header, body, 401)
	for _, b := range bodies {
		if b != bodies[0] {
			t.Errorf("answers tell causes apart: %q and %q", b, bodies[0])
		}
	}
	large := strings.Repeat(" ", 1025)
	refused("too large", signedRequest(t, stripe, testSecret, "http://x/s", large, time.Now()).Header, large, 413)

	t.Run("too large, chunked", func(t *testing.T) {
		req, _ := http.NewRequest(http.MethodPost, "http://"+g.addr+"/s", io.MultiReader(strings.NewReader(large)))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		answer, _ := io.ReadAll(resp.Body)
		wantProblem(t, resp, string(answer), 413)
	})
	t.Run("method", func(t *testing.T) {
		resp, answer := g.do(http.MethodPut, "/s", good.Header, body)
		wantProblem(t, resp, answer, 405)
		if resp.Header.Get("Allow") != "POST" {
			t.Errorf("Allow: %q", resp.Header.Get("Allow"))
		}
	})
}

// TestAnswerBeforeTheBody has senders that go on sending a body that is refused: they can send it all and read the answer, and are not cut off with a reset.
func TestAnswerBeforeTheBody(t *testing.T) {
	g := startGateway(t, "", fmt.Sprintf("webhook stripe {\n secret %s\n max_body 1KiB\n}", testSecret))
	body := strings.Repeat(" ", 4<<20)
	for name, test := range map[string]struct {
		head   string
		body   string
		status int
	}{
		"too large":              {fmt.Sprintf("POST / HTTP/1.1\r\nContent-Length: %d\r\n", len(body)), body, 413},
		"too large, last":        {fmt.Sprintf("POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: %d\r\n", len(body)), body, 413},
		"too large, chunked":     {"POST / HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body), 413},
		"method, HTTP/1.0, last": {fmt.Sprintf("PUT / HTTP/1.0\r\nContent-Length: %d\r\n", len(body)), body, 405},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", g.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			const first = 4 << 10
			fmt.Fprintf(conn, "%sHost: %s\r\n\r\n%s", test.head, g.addr, test.body[:first])
			answers := bufio.NewReader(conn)
			resp, err := http.ReadResponse(answers, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			answer, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			wantProblem(t, resp, string(answer), test.status)
			if _, err := io.WriteString(conn, test.body[first:]); err != nil {
				t.Errorf("sending the rest: %v", err)
			}
			if _, err := answers.ReadByte(); !errors.Is(err, io.EOF) {
				t.Errorf("the connection ended with %v", err)
			}
		})
	}
}

func TestSlowClient(t *testing.T) {
	g := startGateway(t, "", fmt.Sprintf("webhook stripe {\n secret %s\n deadline 300ms\n}", testSecret))
	conn, err := net.Dial("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 100\r\n\r\n{", g.addr)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	wantProblem(t, resp, string(body), 408)
}

func TestSeveralSecretsAndRotation(t *testing.T) {
	file := filepath.Join(t.TempDir(), "old")
	if err := os.WriteFile(file, []byte("old-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NEW_SECRET", "new-secret")
	g := startGateway(t, "", fmt.Sprintf("webhook github {\n secret {env.NEW_SECRET} {file.%s}\n dedup off\n}", file))
	github := provider(t, "github")
	send := func(secret string) int {
		resp, _ := g.sendSigned(github, secret, "/", `{"zen":"x"}`, time.Now())
		return resp.StatusCode
	}
	if a, b, c := send("new-secret"), send("old-secret"), send("third-secret"); a != 200 || b != 200 || c != 401 {
		t.Fatalf("got %d %d %d", a, b, c)
	}
	if err := os.WriteFile(file, []byte("third-secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the changed file is live", func() bool { return send("third-secret") == 200 })
	if got := send("old-secret"); got != 401 {
		t.Errorf("the old secret still gets %d", got)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	setClock(t, func() time.Time { return time.Now().Add(time.Minute) })
	if got := send("third-secret"); got != 200 {
		t.Errorf("an emptied file took the secret away: %d", got)
	}
	mac := hmac.New(sha256.New, nil)
	mac.Write([]byte(`{"zen":"x"}`))
	header := http.Header{"X-Hub-Signature-256": {"sha256=" + hex.EncodeToString(mac.Sum(nil))}, "X-Github-Event": {"ping"}, "X-Github-Delivery": {"1"}}
	if resp, _ := g.do(http.MethodPost, "/", header, `{"zen":"x"}`); resp.StatusCode != 401 {
		t.Errorf("an empty secret gets %d", resp.StatusCode)
	}
}

func TestUnsignedProvidersNeedAFence(t *testing.T) {
	config := func(options string) error {
		config, err := adapt("{\n admin off\n}\nhttp://127.0.0.1:0 {\n webhook vericato {\n" + options + "\n}\n}")
		if err != nil {
			return err
		}
		return validate(config)
	}
	err := config("")
	if err == nil || !strings.Contains(err.Error(), "signs nothing") || !strings.Contains(err.Error(), "unsigned_ok") {
		t.Errorf("got %v", err)
	}
	if err := config("unsigned_ok"); err != nil {
		t.Errorf("unsigned_ok: %v", err)
	}
	if err := config("token path s3cret"); err != nil {
		t.Errorf("token: %v", err)
	}
}

func TestTokenInPath(t *testing.T) {
	g := startGateway(t, "", "webhook vericato {\n token path s3cret-token\n}")
	header := http.Header{"X-Vericato-Event": {"verification.completed"}, "X-Vericato-Verification-Id": {"v_1"}, "Content-Type": {"application/json"}}
	const body = `{"event":"verification.completed","timestamp":"2026-01-02T03:04:05Z","data":{"verification_id":"v_1"}}`
	if resp, answer := g.do("POST", "/hooks/s3cret-token", header, body); resp.StatusCode != 200 {
		t.Errorf("with the token: %d %s", resp.StatusCode, answer)
	}
	if resp, _ := g.do("POST", "/hooks/other", header, body); resp.StatusCode != 401 {
		t.Errorf("without: %d", resp.StatusCode)
	}
	disagree := strings.Replace(body, `"v_1"`, `"v_2"`, 1)
	if resp, _ := g.do("POST", "/hooks/s3cret-token", header, disagree); resp.StatusCode != 400 {
		t.Errorf("header and body disagree: %d", resp.StatusCode)
	}
}

// TestTraceState checks that a trace state that comes in several headers is kept whole.
func TestTraceState(t *testing.T) {
	g := startGateway(t, "", "webhook none {\n unsigned_ok\n}")
	if resp, answer := g.do(http.MethodPost, "/", http.Header{"Tracestate": {"a=1", "b=2,c=3"}}, "x"); resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", resp.StatusCode, answer)
	}
	page, err := runningStore(t).Events(t.Context(), queue.Filter{})
	if err != nil || len(page.Events) != 1 || page.Events[0].Event.TraceState != "a=1,b=2,c=3" {
		t.Errorf("%+v %v", page, err)
	}
}

// TestBasicIsAskedFor checks that a refused request of scheme basic is asked for credentials, and one of another scheme is not.
func TestBasicIsAskedFor(t *testing.T) {
	g := startGateway(t, "", "handle /basic {\n webhook basic {\n secret user:password\n}\n}\nhandle /other {\n webhook stripe {\n secret s\n}\n}")
	for path, want := range map[string]string{"/basic": `Basic realm="webhook"`, "/other": ""} {
		if resp, body := g.do(http.MethodPost, path, nil, "{}"); resp.StatusCode != http.StatusUnauthorized || resp.Header.Get("WWW-Authenticate") != want {
			t.Errorf("%s: %d %q %s", path, resp.StatusCode, resp.Header.Get("WWW-Authenticate"), body)
		}
	}
}
