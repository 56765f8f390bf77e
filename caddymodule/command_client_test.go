package caddymodule

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestCommandAtReload: a configuration that leaves closes what it accepted and has not read. A command that only reads asks again; one that changes something must not do it twice.
func TestCommandAtReload(t *testing.T) {
	for method, want := range map[string]int{http.MethodGet: 2, http.MethodPost: 1} {
		asked := 0
		server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			if asked++; asked == 1 {
				panic(http.ErrAbortHandler)
			}
		}))
		client, err := newAdminClient(server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.open(t.Context(), method, "/sources", nil, nil)
		if (err == nil) != (want == 2) || asked != want {
			t.Errorf("%s: asked %d times, %v", method, asked, err)
		}
		if err == nil {
			resp.Body.Close()
		}
		server.Close()
	}
}
