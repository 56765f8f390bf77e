package caddymodule

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// optionBlocks are blocks with an option that none of them knows: the error lists those that there are.
var optionBlocks = map[string]string{
	"webhooks":    "{\n\twebhooks {\n\t\tnosuch\n\t}\n}\n",
	"store":       "{\n\twebhooks {\n\t\tstore badger {\n\t\t\tnosuch\n\t\t}\n\t}\n}\n",
	"retain":      "{\n\twebhooks {\n\t\tretain {\n\t\t\tnosuch\n\t\t}\n\t}\n}\n",
	"destination": "{\n\twebhooks {\n\t\tdestination a {\n\t\t\tnosuch\n\t\t}\n\t}\n}\n",
	"oauth2":      "{\n\twebhooks {\n\t\tdestination a {\n\t\t\toauth2 {\n\t\t\t\tnosuch\n\t\t\t}\n\t\t}\n\t}\n}\n",
	"alert":       "{\n\twebhooks {\n\t\talert a {\n\t\t\tnosuch\n\t\t}\n\t}\n}\n",
	"email":       "{\n\twebhooks {\n\t\talert a {\n\t\t\temail a@example.com {\n\t\t\t\tnosuch\n\t\t\t}\n\t\t}\n\t}\n}\n",
	"webhook":     ":80 {\n\twebhook github {\n\t\tnosuch\n\t}\n}\n",
	"forward":     ":80 {\n\twebhook github {\n\t\tforward a {\n\t\t\tnosuch\n\t\t}\n\t}\n}\n",
	"enrich":      ":80 {\n\twebhook github {\n\t\tforward a {\n\t\t\tenrich http://a/ {\n\t\t\t\tnosuch\n\t\t\t}\n\t\t}\n\t}\n}\n",
	"pages":       ":80 {\n\twebhook github {\n\t\treconcile pages http://a/ {\n\t\t\tnosuch\n\t\t}\n\t}\n}\n",
	"dashboard":   ":80 {\n\twebhooks_dashboard {\n\t\tnosuch\n\t}\n}\n",
}

// knownOptions are all options that a Caddyfile can have, by block.
func knownOptions(t *testing.T) map[string][]string {
	t.Helper()
	known := map[string][]string{"scheme": verifiers.OptionNames()}
	offer := regexp.MustCompile(`want (?:one of )?([a-z0-9_]+(?:(?:, | or )[a-z0-9_]+)*)`)
	for block, text := range optionBlocks {
		_, err := adapt(text)
		if err == nil {
			t.Fatalf("%s takes any option", block)
		}
		found := offer.FindStringSubmatch(err.Error())
		if found == nil {
			t.Fatalf("%s: %v offers nothing", block, err)
		}
		names := strings.Split(strings.ReplaceAll(found[1], " or ", ", "), ", ")
		known[block] = slices.DeleteFunc(names, func(n string) bool { return n == "at" })
	}
	return known
}

// TestOptionsHaveGoldenFiles wants every option to stand in a golden file.
func TestOptionsHaveGoldenFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/adapt/*.caddytest")
	if err != nil {
		t.Fatal(err)
	}
	shown := make(map[string]bool)
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text, _, _ := strings.Cut(string(content), goldenSeparator)
		for line := range strings.Lines(text) {
			if words := strings.Fields(line); len(words) > 0 {
				shown[words[0]] = true
			}
		}
	}
	for block, names := range knownOptions(t) {
		for _, name := range names {
			if !shown[name] {
				t.Errorf("%s: %s is in no golden file", block, name)
			}
		}
	}
}

// TestOptionsAreDocumented wants every option in the manual, most of them in the reference; those of a scheme in a row of their own that says what they take.
func TestOptionsAreDocumented(t *testing.T) {
	raw, err := os.ReadFile("../docs/caddyfile.md")
	if err != nil {
		t.Fatal(err)
	}
	reference := string(raw)
	manual := reference
	for _, page := range []string{"../docs/operating.md", "../docs/dashboard.md"} {
		more, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		manual += string(more)
	}
	for block, names := range knownOptions(t) {
		for _, name := range names {
			if !regexp.MustCompile("(?m)(`[^`\n]*\\b|^\\s+)" + name + "\\b").MatchString(manual) {
				t.Errorf("%s: %s is not in the manual", block, name)
			}
		}
	}
	for _, name := range verifiers.OptionNames() {
		row := "| `" + name + " " + strings.ReplaceAll(verifiers.OptionUsage(name), "|", `\|`) + "` |"
		if !strings.Contains(reference, row) {
			t.Errorf("the reference has no row %s", row)
		}
	}
}
