package caddymodule

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

var update = flag.Bool("update", false, "write the golden files of the adapt tests anew")

const goldenSeparator = "----------\n"

// TestAdapt holds every Caddyfile in testdata/adapt against the JSON below its separator. They are also the best description of the syntax.
func TestAdapt(t *testing.T) {
	files, err := filepath.Glob("testdata/adapt/*.caddytest")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".caddytest"), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text, want, _ := strings.Cut(string(content), goldenSeparator)
			config, err := adapt(text)
			if err != nil {
				t.Fatal(err)
			}
			again, err := adapt(text)
			if err != nil || !bytes.Equal(config, again) {
				t.Errorf("adapting twice gives two results (%v)", err)
			}
			var pretty bytes.Buffer
			if err := json.Indent(&pretty, config, "", "\t"); err != nil {
				t.Fatal(err)
			}
			pretty.WriteByte('\n')
			if *update {
				if err := os.WriteFile(file, []byte(text+goldenSeparator+pretty.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if pretty.String() != want {
				t.Errorf("got\n%s\nwant\n%s", pretty.String(), want)
			}
			if formatted := string(caddyfile.Format([]byte(text))); formatted != text {
				t.Errorf("not formatted; want\n%s", formatted)
			}
			if err := validate(config); err != nil {
				t.Errorf("what it adapts to is not valid: %v", err)
			}
		})
	}
}

// TestConfigurationErrors checks that each mistake is an error that names file and line and says what was expected.
func TestConfigurationErrors(t *testing.T) {
	files, err := filepath.Glob("testdata/errors*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { testConfigurationErrors(t, file) })
	}
}

func testConfigurationErrors(t *testing.T, file string) {
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, block := range strings.Split(strings.TrimSpace(string(content)), "\n====\n") {
		text, want, ok := strings.Cut(block, "\n----\n")
		if !ok {
			t.Fatalf("block %d has no ----", i+1)
		}
		t.Run(strings.Fields(want)[0]+"/"+strings.TrimSpace(strings.SplitN(want, "\n", 2)[0]), func(t *testing.T) {
			config, err := adapt(text + "\n")
			if err == nil && !strings.HasSuffix(file, "_static.txt") { // those are found without secrets, disk and network
				err = validate(config)
			}
			if err == nil {
				t.Fatalf("no error for\n%s", text)
			}
			for _, part := range strings.Split(strings.TrimSpace(want), "\n") {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q\ndoes not contain %q", err, part)
				}
			}
		})
	}
}

// TestOptionsThatErrorsOffer wants every option that the errors about an unknown one offer to be known.
func TestOptionsThatErrorsOffer(t *testing.T) {
	for names, block := range map[string]string{
		webhookOptionNames:     "http://localhost:8080 {\n\twebhook github {\n\t\t%s\n\t}\n}\n",
		destinationOptionNames: "{\n\twebhooks {\n\t\tdestination app {\n\t\t\t%s\n\t\t}\n\t}\n}\n",
	} {
		for _, name := range strings.Split(strings.ReplaceAll(names, " or ", ", "), ", ") {
			if _, err := adapt(fmt.Sprintf(block, name)); err != nil && strings.Contains(err.Error(), "unrecognized") {
				t.Errorf("%s is offered: %v", name, err)
			}
		}
	}
}
