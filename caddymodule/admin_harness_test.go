package caddymodule

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/memstore"
)

func init() {
	caddy.RegisterModule(new(memoryStore))
}

// memoryStore is the reference store as a module, for tests.
type memoryStore struct{}

func (*memoryStore) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "webhooks.stores.memory", New: func() caddy.Module { return new(memoryStore) }}
}

func (*memoryStore) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return nil
}
func (*memoryStore) Key() (string, error) { return "memory", nil }
func (*memoryStore) Open(*zap.Logger) (queue.Store, error) {
	return memstore.New(memstore.Options{}), nil
}
func (*memoryStore) Compatible(StoreModule) error { return nil }

// adminRig is a running gateway with its admin API on a unix socket.
type adminRig struct {
	*testGateway
	store  string
	socket string
	client *http.Client
	schema *schemaChecker
}

// eachStore runs a test on every store.
func eachStore(t *testing.T, test func(t *testing.T, store string)) {
	for _, name := range []string{"memory", "badger"} {
		t.Run(name, func(t *testing.T) { test(t, name) })
	}
}

// startAdmin loads a configuration with an admin API.
func startAdmin(t *testing.T, store, options, site string) *adminRig {
	t.Helper()
	rig := &adminRig{
		testGateway: &testGateway{t: t, addr: freeAddr(t), dir: t.TempDir()}, store: store,
		socket: filepath.Join(t.TempDir(), "a.sock"), schema: newSchemaChecker(t),
	}
	rig.client = &http.Client{Transport: persistent{&http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", rig.socket)
		},
	}}}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Errorf("stopping caddy: %v", err)
		}
	})
	rig.reload(options, site)
	return rig
}

// reload loads a configuration with the same store and addresses.
func (rig *adminRig) reload(options, site string) {
	rig.t.Helper()
	config, err := adapt(rig.config(options, site))
	if err == nil {
		err = caddy.Load(config, true)
	}
	if err != nil {
		rig.t.Fatalf("loading: %v", err)
	}
}

func (rig *adminRig) config(options, site string) string {
	text := rig.caddyfile(options, site)
	text = strings.Replace(text, "admin off", "admin unix/"+rig.socket, 1)
	if rig.store == "memory" {
		before, rest, _ := strings.Cut(text, "store badger")
		_, after, _ := strings.Cut(rest, "}")
		text = before + "store memory" + after
	}
	return text
}

// call makes a call of the admin API and checks its answer against the API's description.
func (rig *adminRig) call(method, path string, body any) (int, []byte, http.Header) {
	rig.t.Helper()
	var raw []byte
	if body != nil {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			rig.t.Fatal(err)
		}
	}
	req, err := http.NewRequest(method, "http://localhost"+path, bytes.NewReader(raw))
	if err != nil {
		rig.t.Fatal(err)
	}
	resp, err := rig.client.Do(req)
	if err != nil {
		rig.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		rig.t.Fatal(err)
	}
	rig.schema.answer(method, req.URL.Path, resp, answer)
	return resp.StatusCode, answer, resp.Header
}

// get makes a call that must succeed and decodes its answer.
func get[T any](rig *adminRig, path string) T {
	rig.t.Helper()
	return decodeAnswer[T](rig, "GET", path, nil)
}

// post does the same with POST.
func postJSON[T any](rig *adminRig, path string, body any) T {
	rig.t.Helper()
	return decodeAnswer[T](rig, "POST", path, body)
}

func decodeAnswer[T any](rig *adminRig, method, path string, body any) (v T) {
	rig.t.Helper()
	status, answer, _ := rig.call(method, path, body)
	if status < 200 || status > 299 {
		rig.t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	dec := json.NewDecoder(bytes.NewReader(answer))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil {
		rig.t.Fatalf("%s %s: %v: %s", method, path, err, answer)
	}
	return v
}

// refused makes a call that must fail with a status and code.
func (rig *adminRig) refused(method, path string, body any, status int, code string) {
	rig.t.Helper()
	got, answer, header := rig.call(method, path, body)
	var p apiProblem
	if err := json.Unmarshal(answer, &p); err != nil || got != status || p.Status != status || p.Code != code || header.Get("Content-Type") != problemType {
		rig.t.Errorf("%s %s: %d %s, want %d %s", method, path, got, answer, status, code)
	}
}

// send posts an event of the provider stripe and expects it to be accepted.
func (rig *adminRig) send(path, id, kind, extra string) {
	rig.t.Helper()
	quoted, err := json.Marshal(kind)
	if err != nil {
		rig.t.Fatal(err)
	}
	body := fmt.Sprintf(`{"id":%q,"type":%s,"created":1700000000,"data":{"object":{"id":"in_1"%s}}}`, id, quoted, extra)
	if resp, answer := rig.sendSigned(provider(rig.t, "stripe"), testSecret, path, body, time.Now()); resp.StatusCode != 200 {
		rig.t.Fatalf("ack: %d %s", resp.StatusCode, answer)
	}
}

// settledAll waits until the deliveries of a destination are no longer pending.
func (rig *adminRig) settledAll(destination string) {
	rig.t.Helper()
	eventually(rig.t, "nothing pending for "+destination, func() bool {
		d := get[destinationView](rig, "/webhooks/destinations/"+destination)
		return d.Pending == 0 && d.Delivered+d.Dead+d.Cancelled > 0
	})
}

func loadRaw(config []byte) error { return caddy.Load(config, true) }
