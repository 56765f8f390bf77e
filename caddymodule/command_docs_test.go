package caddymodule

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func webhooksCommand() *cobra.Command {
	root := &cobra.Command{Use: "webhooks"}
	buildCommand(root)
	return root
}

// guides are those of operators and applications.
func guides(t *testing.T) (raw []byte) {
	for _, name := range []string{"operating", "forwarding"} {
		text, err := os.ReadFile("../docs/" + name + ".md")
		if err != nil {
			t.Fatal(err)
		}
		raw = append(raw, text...)
	}
	return raw
}

// TestOperatingCommandsExist parses every command line of the guides.
func TestOperatingCommandsExist(t *testing.T) {
	raw := guides(t)
	found := 0
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(raw), -1) {
		for line := range strings.Lines(block[1]) {
			line, _, _ = strings.Cut(line, "#")
			rest, ok := strings.CutPrefix(strings.TrimSpace(line), "caddy webhooks ")
			if !ok {
				continue
			}
			found++
			cmd, args, err := webhooksCommand().Find(strings.Fields(rest))
			if err != nil || !cmd.HasParent() {
				t.Errorf("%s: there is no such verb (%v)", rest, err)
				continue
			}
			if err := cmd.ParseFlags(args); err != nil {
				t.Errorf("%s: %v", rest, err)
			}
			if check := cmd.Args; check != nil {
				if err := check(cmd, cmd.Flags().Args()); err != nil {
					t.Errorf("%s: %v", rest, err)
				}
			}
		}
	}
	if found < 25 {
		t.Errorf("%d command lines: the test does not find them", found)
	}
}

// TestOperatingCaddyfiles validates what the guides show of configurations.
func TestOperatingCaddyfiles(t *testing.T) {
	raw := guides(t)
	for _, name := range regexp.MustCompile(`\{env\.([A-Z_]+)\}`).FindAllStringSubmatch(string(raw), -1) {
		t.Setenv(name[1], "whsec_something")
	}
	blocks := regexp.MustCompile("(?s)```caddyfile\n(.*?)```").FindAllStringSubmatch(string(raw), -1)
	for _, block := range blocks {
		options, site := "destination billing {\n to http://127.0.0.1:9\n}\ndestination slack {\n to http://127.0.0.1:9\n}\n", "webhook stripe {\n name payments\n secret x\n}"
		switch text := block[1]; {
		case strings.HasPrefix(text, "webhooks {"):
			options += strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(text), "webhooks {"), "}")
		case strings.HasPrefix(text, "reconcile"):
			site = "webhook stripe {\n secret x\n " + text + "\n}"
		default:
			site = "route {\n" + text + "\n}"
		}
		g := &testGateway{t: t, addr: "127.0.0.1:1", dir: t.TempDir()}
		config, err := adapt(g.caddyfile(options, site))
		if err == nil {
			err = validate(config)
		}
		if err != nil {
			t.Errorf("%v in:\n%s", err, block[1])
		}
	}
	if len(blocks) < 3 {
		t.Errorf("%d configurations: the test does not find them", len(blocks))
	}
}

// TestEveryVerbIsTheSame holds all verbs against what the help promises of them.
func TestEveryVerbIsTheSame(t *testing.T) {
	changes := []string{"cancel", "pause", "resume", "replay", "import", "reconcile", "quarantine release", "quarantine drop"}
	without := []string{"completion", "help", "export"} // nothing to print as JSON; an export is JSON as it is
	for _, cmd := range webhooksCommand().Commands() {
		name := cmd.Name()
		if !cmd.HasSubCommands() && cmd.Flags().Lookup("json") == nil && !slices.Contains(without, name) {
			t.Errorf("%s does not take --json", name)
		}
		if cmd.Short == "" || len(cmd.Short) > 80 {
			t.Errorf("%s: short help %q", name, cmd.Short)
		}
	}
	for _, name := range changes {
		if cmd, _, err := webhooksCommand().Find(strings.Fields(name)); err != nil || cmd.CommandPath() != "webhooks "+name || cmd.Flags().Lookup("dry-run") == nil {
			t.Errorf("%s does not take --dry-run", name)
		}
	}
	for _, name := range []string{"status", "sources", "destinations", "dead"} {
		if cmd, _, err := webhooksCommand().Find([]string{name}); err != nil || cmd.Flags().Lookup("watch") == nil {
			t.Errorf("%s does not take --watch", name)
		}
	}
}

// TestCompletion asks as a shell does.
func TestCompletion(t *testing.T) {
	complete := func(args ...string) string {
		cmd := process(t, append([]string{"__complete", "webhooks"}, args...)...)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return string(out)
	}
	wantParts(t, "verbs", complete(""), "cancel", "export", "import", "quarantine", "reconcile", "replay", "status", "tail")
	wantParts(t, "flags", complete("replay", "--"), "--destination", "--dry-run", "--state")
	wantParts(t, "states", complete("events", "--state", "d"), "dead", "delivered", "delivering")
	wantParts(t, "deliveries", complete("import", "--deliver", ""), "all", "none", "undelivered")
}
