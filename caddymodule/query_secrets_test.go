package caddymodule

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/sluice-webhooks/sluice/caddymodule/sender"
	"github.com/sluice-webhooks/sluice/verifiers"
	"github.com/sluice-webhooks/sluice/verifiers/catalogue"
)

// TestNoSecretOfTheCatalogueIsShown sends an event of every provider, of batches whole and split too, and looks for their secrets in every answer of the API.
func TestNoSecretOfTheCatalogueIsShown(t *testing.T) {
	specs, err := catalogue.All()
	if err != nil {
		t.Fatal(err)
	}
	run := &catalogueRun{client: sender.NewClient(20*time.Second, now), secrets: t.TempDir()}
	defer run.client.HTTP.CloseIdleConnections()
	var site strings.Builder
	for _, spec := range specs {
		var source strings.Builder
		if err := run.writeSource(&source, spec); err != nil {
			t.Fatal(err)
		}
		site.WriteString(source.String())
		if spec.Batch == nil {
			continue
		}
		for _, split := range []string{"on", "off"} {
			rename := strings.NewReplacer("handle /", "handle /"+split+"/", "webhook "+spec.ID+" {", "webhook "+spec.ID+" {\nname "+spec.ID+"-"+split+"\nsplit "+split)
			site.WriteString(rename.Replace(source.String()))
		}
	}
	rig := startAdmin(t, "memory", "", site.String())
	bodies := map[string]bool{} // of providers with their secret in the body
	accepted := 0
	for _, path := range []string{"/", "/on/", "/off/"} {
		run.base = &url.URL{Scheme: "http", Host: rig.addr, Path: path}
		for _, spec := range specs {
			if path != "/" && spec.Batch == nil {
				continue
			}
			result, err := run.try(t.Context(), spec)
			switch {
			case err != nil:
				t.Errorf("%s: %v", spec.ID, err)
			case result.Status/100 == 2:
				accepted++
				bodies[spec.ID] = spec.Scheme == verifiers.SchemeToken && spec.Signature.In == "json"
			}
		}
	}
	if accepted < len(specs) || !bodies["microsoft_graph"] || !bodies["sharepoint"] || !bodies["meraki"] || !bodies["figma"] {
		t.Errorf("only %d of %d providers: %v", accepted, len(specs), bodies)
	}
	rig.lookFor(run.needles(t))
}

// needles are what must not be shown, by provider: a line of each secret and what is made of it.
func (run *catalogueRun) needles(t *testing.T) map[string][]string {
	t.Helper()
	files, err := os.ReadDir(run.secrets)
	if err != nil {
		t.Fatal(err)
	}
	needles := map[string][]string{}
	for _, file := range files {
		raw, err := os.ReadFile(filepath.Join(run.secrets, file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		secret := strings.TrimSpace(string(raw))
		longest := slices.MaxFunc(strings.Split(secret, "\n"), func(a, b string) int { return len(a) - len(b) }) // of a key in PEM
		needles[file.Name()] = []string{longest, base64.StdEncoding.EncodeToString([]byte(secret))}
	}
	return needles
}

// lookFor looks for what must not be shown in all that the API says of events and refused requests.
func (rig *adminRig) lookFor(needles map[string][]string) {
	rig.t.Helper()
	paths := []string{"status", "sources", "requests?limit=1000", "export", "audit", "providers"}
	for _, list := range []struct{ path, all string }{{"events", "events.#.id"}, {"quarantine", "requests.#.id"}} {
		for cursor := ""; ; {
			page := list.path + "?limit=100"
			if cursor != "" {
				page += "&cursor=" + url.QueryEscape(cursor)
			}
			status, body, _ := rig.call(http.MethodGet, "/webhooks/"+page, nil)
			if status != http.StatusOK {
				rig.t.Fatalf("%s: %d %s", page, status, body)
			}
			paths = append(paths, page)
			for _, id := range gjson.GetBytes(body, list.all).Array() {
				one := list.path + "/" + id.String()
				paths = append(paths, one, one+"/payload")
				if list.path == "events" {
					paths = append(paths, one+"/payload?format=normalised")
				}
			}
			if cursor = gjson.GetBytes(body, "next").String(); cursor == "" {
				break
			}
		}
	}
	answers := rig.answers(paths...)
	if len(answers) != len(paths) {
		rig.t.Errorf("%d answers of %d", len(answers), len(paths))
	}
	for place, text := range answers {
		for id, values := range needles {
			for _, value := range values {
				if strings.Contains(text, value) {
					rig.t.Errorf("%s shows the secret of %s: %s", place, id, truncate(text, 500))
				}
			}
		}
	}
}

// TestTokenOfLarkIsHidden: it stands in events that are not encrypted, which are refused where they are not signed either.
func TestTokenOfLarkIsHidden(t *testing.T) {
	rig := startAdmin(t, "memory", "", "webhook lark_feishu {\n secret ekey\n param verification_token HUSH\n}")
	spec, err := catalogue.Lookup("lark_feishu")
	if err != nil {
		t.Fatal(err)
	}
	p, err := verifiers.Compile(spec.Merge(&verifiers.Spec{Values: map[string]string{"verification_token": "HUSH"}}))
	if err != nil {
		t.Fatal(err)
	}
	for body, status := range map[string]int{
		`{"header":{"event_id":"e1","event_type":"seen","token":"HUSH"}}`:   http.StatusOK,
		`{"uuid":"e2","event":{"type":"seen"},"token":"HUSH"}`:              http.StatusOK,
		`{"header":{"event_id":"e3","event_type":"seen","token":"theirs"}}`: http.StatusUnauthorized,
	} {
		if resp, answer := rig.sendSigned(p, "ekey", "/", body, time.Now()); resp.StatusCode != status {
			t.Errorf("%s: %d %s", body, resp.StatusCode, answer)
		}
		if resp, _ := rig.do(http.MethodPost, "/", http.Header{"Content-Type": {"application/json"}}, body); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s, not signed: %s", body, resp.Status)
		}
	}
	eventually(t, "refused requests are kept", func() bool { return len(get[refusedPage](rig, "/webhooks/quarantine").Requests) == 4 })
	rig.lookFor(map[string][]string{"lark_feishu": {"HUSH"}})
	for _, e := range get[eventPage](rig, "/webhooks/events").Events {
		if e.Type != "seen" {
			t.Errorf("%+v", e)
		}
	}
}
