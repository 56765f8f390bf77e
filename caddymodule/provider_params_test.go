package caddymodule

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestChangedParam changes the file of a param: the new value is live, the old one is not, and one that the provider cannot use changes nothing.
func TestChangedParam(t *testing.T) {
	var ahead atomic.Int64
	setClock(t, func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		ahead.Add(int64(2 * secretFileCheck))
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("token", "revoked")
	write("instance", "https://idp.example.com")
	g := startGateway(t, "", "handle /meta {\n webhook meta {\n secret "+testSecret+"\n param verify_token {file."+dir+"/token}\n }\n}\n"+
		"webhook fusionauth {\n param instance {file."+dir+"/instance}\n}")
	ask := func(token string) int {
		t.Helper()
		resp, _ := g.do(http.MethodGet, "/meta?hub.mode=subscribe&hub.challenge=42&hub.verify_token="+token, nil, "")
		return resp.StatusCode
	}
	app, err := activeApp()
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ text, live string }{{"revoked", "revoked"}, {"fresh", "fresh"}, {"", "fresh"}} {
		write("token", step.text)
		for _, token := range []string{"revoked", "fresh"} {
			if status := ask(token); (status == http.StatusOK) != (token == step.live) {
				t.Errorf("with %q in the file, %q is answered with %d", step.text, token, status)
			}
		}
	}
	write("instance", "http://idp.example.com")
	for source, part := range map[string]string{"meta": "token} is empty", "fusionauth": "instance} param instance: keys are not fetched with http"} {
		if failing := app.sources[source].view().Failing; !slices.ContainsFunc(failing, func(s string) bool { return strings.Contains(s, part) }) {
			t.Errorf("%s: %q", source, failing)
		}
	}
	if value, _ := app.sources["fusionauth"].params.present("instance"); value != "https://idp.example.com" {
		t.Errorf("keys would be fetched from %s", value)
	}
}
