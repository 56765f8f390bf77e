package caddymodule

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/delivery"
	"github.com/sluice-webhooks/sluice/queue/reopen"
	"github.com/sluice-webhooks/sluice/verifiers"
)

// runningStore is the store of the running gateway.
func runningStore(t testing.TB) *reopen.Store {
	t.Helper()
	app, err := activeApp()
	if err != nil {
		t.Fatal(err)
	}
	rt, err := app.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return rt.store
}

// onlyDelivery waits until the one event's delivery to a destination satisfies cond, and returns it with its attempts.
func onlyDelivery(t testing.TB, destination string, cond func(queue.Delivery) bool) (d queue.Delivery, attempts []queue.Attempt) {
	t.Helper()
	store := runningStore(t)
	eventually(t, "delivery to "+destination, func() bool {
		page, err := store.Events(t.Context(), queue.Filter{Destination: destination, Limit: 10})
		if err != nil || len(page.Events) != 1 {
			return false
		}
		for _, d = range page.Events[0].Deliveries {
			if d.Destination == destination && cond(d) {
				return true
			}
		}
		return false
	})
	attempts, err := store.Attempts(t.Context(), d.Event, destination)
	if err != nil {
		t.Fatal(err)
	}
	return d, attempts
}

func settled(d queue.Delivery) bool { return d.State.Settled() }

const stripeEvent = `{"id":"evt_1","type":"invoice.paid","created":1700000000,"data":{"object":{"id":"in_1","amount":110}}}`

func sendStripe(t *testing.T, g *testGateway, path string) {
	t.Helper()
	if resp, body := g.sendSigned(provider(t, "stripe"), testSecret, path, stripeEvent, time.Now()); resp.StatusCode != 200 {
		t.Fatalf("ack: %d %s", resp.StatusCode, body)
	}
}

func TestRetriesUntilDelivered(t *testing.T) {
	var calls atomic.Int32
	app := startApplication(t, func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) < 3 {
			http.Error(w, "not yet", 500)
		}
	})
	g := startGateway(t, "destination billing {\n to "+app.URL+"\n retry exponential 10ms 20ms for 1m\n sign standard "+testSecret+"\n}",
		"webhook stripe {\n secret "+testSecret+"\n forward billing\n}")
	sendStripe(t, g, "/")
	d, attempts := onlyDelivery(t, "billing", settled)
	if d.State != queue.StateDelivered || d.Attempts != 3 || len(attempts) != 3 {
		t.Fatalf("%+v %+v", d, attempts)
	}
	if a := attempts[0]; a.Status != 500 || a.Class != "status" || a.Trigger != queue.TriggerFirst || string(a.Response) != "not yet\n" {
		t.Errorf("first attempt: %+v", a)
	}
	standard := provider(t, "standard")
	ids := map[string]bool{}
	for i, r := range app.all() {
		if got := r.header.Get("Webhook-Attempt"); got != strconv.Itoa(i+1) {
			t.Errorf("Webhook-Attempt %q, want %d", got, i+1)
		}
		ids[r.header.Get("Webhook-Id")] = true
		req := &verifiers.Request{Method: "POST", URL: new(url.URL), Header: r.header, Body: r.body, At: r.at}
		if _, err := standard.Verify(t.Context(), req, []verifiers.Secret{verifiers.NewSecret([]byte(testSecret))}); err != nil {
			t.Errorf("attempt %d: %v", i+1, err)
		}
	}
	if len(ids) != 1 {
		t.Errorf("webhook-id changed: %v", ids)
	}
}

func TestDeadLetters(t *testing.T) {
	for name, c := range map[string]struct {
		options  string
		status   int
		attempts int
	}{
		"dead_on":              {"dead_on 4xx", 422, 1},
		"gone by default":      {"retry exponential 10ms 10ms for 1m", 410, 1},
		"a schedule that ends": {"retry 10ms 10ms", 500, 3},
		"none":                 {"retry none", 500, 1},
		"redirects fail":       {"retry none", 302, 1},
		"maximum of attempts":  {"retry exponential 5ms 5ms\n max_attempts 4", 500, 4},
	} {
		t.Run(name, func(t *testing.T) {
			app := startApplication(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(c.status)
			})
			g := startGateway(t, "destination d {\n to "+app.URL+"\n breaker off\n "+c.options+"\n}", "webhook stripe {\n secret "+testSecret+"\n forward d\n}")
			sendStripe(t, g, "/")
			d, attempts := onlyDelivery(t, "d", settled)
			if d.State != queue.StateDead || len(attempts) != c.attempts || d.LastStatus != c.status {
				t.Errorf("%+v after %d attempts, want dead after %d", d, len(attempts), c.attempts)
			}
		})
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	var calls atomic.Int32
	app := startApplication(t, func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(503)
		}
	})
	g := startGateway(t, "destination d {\n to "+app.URL+"\n retry exponential 1ms 5s\n}", "webhook stripe {\n secret "+testSecret+"\n forward d\n}")
	sendStripe(t, g, "/")
	got := app.await(t, 2)
	if wait := got[1].at.Sub(got[0].at); wait < 950*time.Millisecond {
		t.Errorf("tried again after %s, though asked to wait for 1s", wait)
	}
}

func TestFanOutFiltersAndFormats(t *testing.T) {
	app := startApplication(t, nil)
	g := startGateway(t, "", fmt.Sprintf(`webhook stripe {
		secret %[1]s
		forward %[2]s/structured {
			events invoice.* !invoice.draft
		}
		forward %[2]s/binary {
			format cloudevents_binary
			when `+"`event.data.data.object.amount > 100 && event.type == 'invoice.paid'`"+`
		}
		forward %[2]s/original {
			format original
			header X-Team payments
			header -User-Agent
		}
		forward %[2]s/transformed {
			transform jq `+"`{amount: .data.object.amount}`"+`
		}
		forward %[2]s/filtered {
			events charge.*
		}
		forward %[2]s/condition {
			when `+"`event.data.data.object.amount > 1000`"+`
		}
		forward %[2]s/absent {
			when `+"`event.data.nothing.here == 1`"+`
		}
	}`, testSecret, app.URL))
	sendStripe(t, g, "/")
	byPath := map[string]received{}
	for _, r := range app.await(t, 4) {
		byPath[r.path] = r
	}
	if len(byPath) != 4 {
		t.Fatalf("got %v", byPath)
	}
	if b := byPath["/binary"]; string(b.body) != stripeEvent || b.header.Get("Ce-Id") != "evt_1" || b.header.Get("Ce-Type") != "invoice.paid" ||
		b.header.Get("Ce-Specversion") != "1.0" || b.header.Get("Ce-Source") != "/webhooks/stripe" || b.header.Get("Content-Type") != "application/json" {
		t.Errorf("binary: %v %s", b.header, b.body)
	}
	if o := byPath["/original"]; string(o.body) != stripeEvent || o.header.Get("Stripe-Signature") == "" || o.header.Get("X-Team") != "payments" {
		t.Errorf("original: %v %s", o.header, o.body)
	}
	var ce struct{ Data json.RawMessage }
	if err := json.Unmarshal(byPath["/transformed"].body, &ce); err != nil || string(ce.Data) != `{"amount":110}` {
		t.Errorf("transformed: %s (%v)", byPath["/transformed"].body, err)
	}
	page, err := runningStore(t).Events(t.Context(), queue.Filter{})
	if err != nil || len(page.Events) != 1 || len(page.Events[0].Event.Filtered) != 3 {
		t.Errorf("filtered destinations are not recorded: %+v %v", page, err)
	}
}

func TestSignProviderIsFresh(t *testing.T) {
	app := startApplication(t, nil)
	g := startGateway(t, "", "webhook stripe {\n secret "+testSecret+"\n tolerance 1h\n forward "+app.URL+" {\n sign provider whsec_application\n}\n}")
	if resp, _ := g.sendSigned(provider(t, "stripe"), testSecret, "/", stripeEvent, time.Now().Add(-30*time.Minute)); resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	r := app.await(t, 1)[0]
	if err := app.verify(t, provider(t, "stripe"), "whsec_application", &r); err != nil {
		t.Errorf("the application's SDK would refuse it: %v", err)
	}
	if string(r.body) != stripeEvent {
		t.Errorf("body changed: %s", r.body)
	}
}

func TestEnrichment(t *testing.T) {
	t.Setenv("VERIFEYE_KEY", "k3y")
	var calls atomic.Int32
	api := startApplication(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "ApiKey k3y" {
			w.WriteHeader(403)
		} else if calls.Add(1) == 1 {
			w.WriteHeader(503)
		} else {
			_, _ = io.WriteString(w, `{"result":"ok"}`)
		}
	})
	app := startApplication(t, nil)
	g := startGateway(t, "", fmt.Sprintf(`webhook verifeye {
		token query:token s3cret
		forward %s {
			retry exponential 10ms 10ms
			enrich %s/get-session-result?verificationSessionId={json.verificationSessionId} {
				header Authorization "ApiKey {env.VERIFEYE_KEY}"
			}
		}
	}`, app.URL, api.URL))
	const body = `{"event":"VerificationCompleted","verificationSessionId":"a b/1"}`
	resp, answer := g.do("POST", "/?token=s3cret", http.Header{"Content-Type": {"application/json"}}, body)
	if resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, answer)
	}
	var ce struct{ Data map[string]any }
	if err := json.Unmarshal(app.await(t, 1)[0].body, &ce); err != nil {
		t.Fatal(err)
	}
	if data, _ := ce.Data["data"].(map[string]any); data["result"] != "ok" || ce.Data["verificationSessionId"] != "a b/1" {
		t.Errorf("got %v", ce.Data)
	}
	if got := api.all()[1].path; got != "/get-session-result?verificationSessionId=a+b%2F1" {
		t.Errorf("fetched %s", got)
	}
	page, err := runningStore(t).Events(t.Context(), queue.Filter{})
	if err != nil || len(page.Events) != 1 || strings.Contains(page.Events[0].Event.URL, "s3cret") {
		t.Errorf("the token is kept in the URL: %+v %v", page, err)
	}
}

func TestSynchronousAnswer(t *testing.T) {
	release := make(chan struct{})
	app := startApplication(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/fast":
			w.Header().Set("Content-Type", "text/xml")
			_, _ = io.WriteString(w, "<Response/>")
		case "/failing":
			w.WriteHeader(500)
		case "/slow":
			<-release
		case "/broken":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
		case "/large":
			_, _ = w.Write(make([]byte, maxAnswerRead+1))
		case "/brotli":
			w.Header().Set("Content-Encoding", "br")
			_, _ = io.WriteString(w, "packed")
		case "/bare":
			w.Header()["Content-Type"] = nil
			_, _ = io.WriteString(w, "<html>")
		}
	})
	site := ""
	for _, kind := range []string{"fast", "failing", "slow", "broken", "large", "brotli", "bare"} {
		site += fmt.Sprintf("handle /%[1]s {\n webhook stripe {\n name %[1]s\n secret %[2]s\n ack sync 300ms\n ack 202 queued\n forward %[3]s/%[1]s {\n retry none\n}\n}\n}\n", kind, testSecret, app.URL)
	}
	g := startGateway(t, "", site)
	t.Cleanup(func() { close(release) }) // before the gateway stops
	stripe := provider(t, "stripe")
	if resp, body := g.sendSigned(stripe, testSecret, "/fast", stripeEvent, time.Now()); resp.StatusCode != 200 || body != "<Response/>" || resp.Header.Get("Content-Type") != "text/xml" {
		t.Errorf("fast: %d %q", resp.StatusCode, body)
	}
	if resp, body := g.sendSigned(stripe, testSecret, "/bare", stripeEvent, time.Now()); resp.StatusCode != 200 || body != "<html>" || resp.Header["Content-Type"] != nil {
		t.Errorf("bare: %d %q %q", resp.StatusCode, body, resp.Header["Content-Type"])
	}
	for _, kind := range []string{"failing", "slow", "broken", "large", "brotli"} {
		if resp, body := g.sendSigned(stripe, testSecret, "/"+kind, stripeEvent, time.Now()); resp.StatusCode != 202 || body != "queued" {
			t.Errorf("%s: %d %q", kind, resp.StatusCode, body)
		}
	}
}

// faultyServer answers a connection with raw bytes, or does what a broken application does.
func faultyServer(t *testing.T, serve func(net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serve(conn)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return "http://" + l.Addr().String()
}

func TestFailuresAreToldApart(t *testing.T) {
	readRequest := func(conn net.Conn) {
		buf := make([]byte, 64<<10)
		_, _ = conn.Read(buf)
	}
	answering := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			readRequest(c)
			fmt.Fprint(c, text)
			c.Close()
		}
	}
	for name, c := range map[string]struct {
		serve   func(net.Conn)
		address string
		class   string
	}{
		"refused": {address: "http://" + freeAddr(t), class: "dial"},
		"dns":     {address: "http://does-not-exist.invalid", class: "dns"},
		"hangs":   {serve: func(c net.Conn) { readRequest(c); readRequest(c); c.Close() }, class: "timeout"},
		"reset": {serve: func(c net.Conn) {
			readRequest(c)
			_ = c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}, class: "reset"},
		"truncated":                {serve: answering("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), class: "truncated"},
		"no HTTP":                  {serve: answering("garbage\r\n\r\n"), class: "protocol"},
		"no header":                {serve: answering("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"), class: "protocol"},
		"two lengths":              {serve: answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"), class: "protocol"},
		"length of nothing":        {serve: answering("HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok"), class: "protocol"},
		"unknown transfer":         {serve: answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok"), class: "protocol"},
		"bad trailer":              {serve: answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n0\r\n\r\n"), class: "protocol"},
		"large header":             {serve: answering("HTTP/1.1 200 OK\r\nX-Large: " + strings.Repeat("x", 11<<20) + "\r\n\r\n"), class: "protocol"},
		"status below 100":         {serve: answering("HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n"), class: "protocol"},
		"status of nothing":        {serve: answering("HTTP/1.1 000 Odd\r\nContent-Length: 2\r\n\r\nok"), class: "protocol"},
		"another protocol":         {serve: answering("HTTP/1.1 101 Switching Protocols\r\n\r\n"), class: "protocol"},
		"plain text on a TLS port": {serve: answering("HTTP/1.1 400 Bad Request\r\n\r\n"), class: "tls"},
	} {
		t.Run(name, func(t *testing.T) {
			address := c.address
			if c.serve != nil {
				address = faultyServer(t, c.serve)
			}
			if c.class == "tls" {
				address = strings.Replace(address, "http:", "https:", 1)
			}
			timeout := "1m"
			if c.class == "timeout" {
				timeout = "500ms"
			}
			g := startGateway(t, "destination d {\n to "+address+"\n retry none\n timeout "+timeout+"\n}", "webhook stripe {\n secret "+testSecret+"\n forward d\n}")
			sendStripe(t, g, "/")
			_, attempts := onlyDelivery(t, "d", settled)
			if len(attempts) != 1 || attempts[0].Class != c.class || strings.Contains(attempts[0].Error, "no further detail") {
				t.Errorf("got %+v, want class %s", attempts, c.class)
			}
		})
	}
}

// TestCutAttemptIsNoAnswer ends an attempt from our side: what reverse_proxy says then is not what the application said, whatever the policy makes of it.
func TestCutAttemptIsNoAnswer(t *testing.T) {
	asked := make(chan struct{})
	app := startApplication(t, func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	})
	startGateway(t, "destination d {\n to "+app.URL+"\n deliver_on 4xx\n}", "webhook stripe {\n secret "+testSecret+"\n forward d\n}")
	running, err := activeApp()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	result := running.Destinations["d"].Forward(ctx, &delivery.Try{Event: &queue.Event{Source: "stripe", Method: http.MethodPost, URL: "/"}, At: time.Now(), Attempt: 1})
	if result.Class == "" || result.Status != 0 {
		t.Errorf("%+v, want that there was no answer", result)
	}
}

func TestGiantAnswerAndEarlyHints(t *testing.T) {
	app := startApplication(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 100 {
			w.WriteHeader(http.StatusEarlyHints)
		}
		chunk := strings.Repeat("x", 64<<10)
		for range 200 {
			if _, err := io.WriteString(w, chunk); err != nil {
				return
			}
		}
	})
	g := startGateway(t, "destination d {\n to "+app.URL+"\n retry none\n}", "webhook stripe {\n secret "+testSecret+"\n forward d\n}")
	sendStripe(t, g, "/")
	d, attempts := onlyDelivery(t, "d", settled)
	if d.State != queue.StateDelivered || len(attempts[0].Response) > 512 {
		t.Errorf("%+v, %d bytes kept", d, len(attempts[0].Response))
	}
}

// TestAnswersThatSayTheyArePacked has applications pack their answers, or say so, without having been asked. A whole 2xx is one, and what is kept of an answer is readable.
func TestAnswersThatSayTheyArePacked(t *testing.T) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = io.WriteString(w, "taken")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	const asks = "proxy {\n header_up Accept-Encoding gzip\n}"
	for name, c := range map[string]struct{ body, options, kept, asked string }{
		"not packed":       {body: "ok", kept: "ok"},
		"packed":           {body: packed.String(), kept: "taken"},
		"packed, and more": {body: packed.String() + "more", kept: "taken"},
		"broken off":       {body: packed.String()[:packed.Len()-6], kept: "taken"},
		"asked for":        {body: packed.String(), options: asks, kept: "taken", asked: "gzip"},
	} {
		t.Run(name, func(t *testing.T) {
			app := startApplication(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				_, _ = io.WriteString(w, c.body)
			})
			d, attempts := firstOf(t, "to "+app.URL+"\n retry none\n "+c.options)
			if d.State != queue.StateDelivered || string(attempts[0].Response) != c.kept {
				t.Errorf("%s after %+v, want delivered with %q", d.State, attempts, c.kept)
			}
			if got := app.all()[0].header.Get("Accept-Encoding"); got != c.asked {
				t.Errorf("Accept-Encoding %q", got)
			}
		})
	}
}

// TestDefaultsOfTheTransport looks at what is added to the configuration of a transport.
func TestDefaultsOfTheTransport(t *testing.T) {
	for given, want := range map[string]string{
		"":                                       `{"compression":false,"protocol":"http"}`,
		`{"protocol":"http","compression":true}`: `{"compression":true,"protocol":"http"}`,
		`{"protocol":"http","compression":false}`: `{"compression":false,"protocol":"http"}`,
		`{"protocol":"http","tls":{}}`:            `{"compression":false,"protocol":"http","tls":{}}`,
		`{"protocol":"fastcgi","read_timeout":5}`: `{"protocol":"fastcgi","read_timeout":5,"write_timeout":11000000000}`,
		`{"protocol":"other"}`:                    `{"protocol":"other"}`,
	} {
		var raw json.RawMessage
		if given != "" {
			raw = json.RawMessage(given)
		}
		if got := string(withDefaults(raw, time.Second)); got != want {
			t.Errorf("%s: %s, want %s", given, got, want)
		}
	}
}
