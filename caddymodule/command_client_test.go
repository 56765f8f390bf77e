package caddymodule

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// TestCommandAtReload: a configuration that leaves closes what it accepted and has not read. A command that only reads asks again; one that changes something must not do it twice.
func TestCommandAtReload(t *testing.T) {
	for method, want := range map[string]int{http.MethodGet: 2, http.MethodPost: 1} {
		var asked atomic.Int32
		server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			if asked.Add(1) == 1 {
				panic(http.ErrAbortHandler)
			}
		}))
		client, err := newAdminClient(server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.open(t.Context(), method, "/sources", nil, nil)
		if (err == nil) != (want == 2) || int(asked.Load()) != want {
			t.Errorf("%s: asked %d times, %v", method, asked.Load(), err)
		}
		if err == nil {
			resp.Body.Close()
		} else if !strings.Contains(err.Error(), "see whether it was done") {
			t.Errorf("%s: %v", method, err)
		}
		server.Close()
	}
}
