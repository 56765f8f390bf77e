package caddymodule

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

// TestShorthandsInTemplates checks that what looks like a placeholder of Caddy arrives as it is written, in both blocks that take a scheme's options.
func TestShorthandsInTemplates(t *testing.T) {
	const hmac = "\t\t\theader X-Sig\n\t\t\ttimestamp header X-T unix\n\t\t\tsigned %s\n"
	for _, template := range []string{
		"{header.X-T}{body}", "{method}.{body}", "{path}{body}", "{query}{body}", "{query.q}{body}", "{host}{body}", "{json.a}{url}{target}{body}",
	} {
		own, err := adapt(fmt.Sprintf("{\n\twebhooks {\n\t\tprovider own {\n\t\t\tscheme hmac\n"+hmac+"\t\t}\n\t}\n}\n"+
			"http://localhost:8080 {\n\twebhook own {\n\t\tsecret x\n\t}\n}\n", template))
		wantAdapted(t, own, err, `"signed":["`+template+`"]`)
		direct, err := adapt(fmt.Sprintf("http://localhost:8080 {\n\twebhook hmac {\n\t\tsecret x\n"+hmac+"\t}\n}\n", template))
		wantAdapted(t, direct, err, `"signed":["`+template+`"]`)
	}

	forward := "http://localhost:8080 {\n\twebhook github {\n\t\tsecret x\n\t\tforward http://127.0.0.1:9000 {\n\t\t\t%s\n\t\t}\n\t}\n}\n"
	for option, want := range map[string]string{
		"enrich http://a/{header.X-T}/{query.q}": `"url":"http://a/{header.X-T}/{query.q}"`,
		"transform jq {host}":                    `"transform":"{host}"`,
		"transform jq `\"{path}\"`":              `"transform":"\"{path}\""`,
		"when `event.subject == '{uri}'`":        `"when":"event.subject == '{uri}'"`,
	} {
		config, err := adapt(fmt.Sprintf(forward, option))
		wantAdapted(t, config, err, want)
	}
}

func wantAdapted(t *testing.T, config []byte, err error, want string) {
	t.Helper()
	if err == nil {
		err = validate(config)
	}
	if err != nil || !strings.Contains(string(config), want) {
		t.Errorf("%v: want %s in\n%s", err, want, config)
	}
}

// TestShorthandsReversed checks that every shorthand that is listed comes back as it was.
func TestShorthandsReversed(t *testing.T) {
	for _, name := range strings.Fields(caddyShorthands) {
		if strings.HasSuffix(name, ".") {
			name += "a-b"
		}
		segment := caddyfile.Segment{{Text: "<{" + name + "}{" + name + "}>"}}
		text := segment[0].Text
		httpcaddyfile.NewShorthandReplacer().ApplyToSegment(&segment)
		if expanded := segment[0].Text; expanded == text || written.Replace(expanded) != text {
			t.Errorf("%s: %s: %s", text, expanded, written.Replace(expanded))
		}
	}
}
