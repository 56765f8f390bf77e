package caddymodule

import (
	"context"
	"errors"
	"net/http"
	goruntime "runtime"
	"testing"
	"time"

	"github.com/itchyny/gojq"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/delivery"
)

// TestMemoryLimit holds more than a program may have.
func TestMemoryLimit(t *testing.T) {
	goruntime.GC() // what is garbage now would be room for the program
	ctx, watch := watchRun(t.Context())
	hog := make([]byte, 2*transformMemory)
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, errTransformHeap) {
		t.Errorf("ended because of %v", cause)
	}
	if watch.stop() {
		t.Error("what is still there is taken for the program's")
	}
	goruntime.KeepAlive(hog)
	if err := transformError(ctx, ctx.Err()); !errors.Is(err, errTransformHeap) {
		t.Errorf("told as %v", err)
	}
}

// TestWhoseMemory checks that a program is blamed for memory that goes with it, and for none that others take while it runs.
func TestWhoseMemory(t *testing.T) {
	for name, c := range map[string]struct {
		others int  // runs during which others take too much
		own    bool // so does the program itself
		want   error
	}{
		"others once":      {1, false, nil},
		"others all along": {2, false, errTransformHeap},
		"its own":          {0, true, errTransformMemory},
		"others first":     {1, true, errTransformMemory},
	} {
		t.Run(name, func(t *testing.T) {
			const tooMuch = transformMemory + transformMemory/4
			var others [][]byte
			runs := 0
			take := func(any, []any) any {
				if runs++; runs <= c.others {
					others = append(others, make([]byte, tooMuch))
					return "others"
				}
				if c.own {
					return string(make([]byte, tooMuch))
				}
				return ""
			}
			program := compileWith(t, `take as $x | def f: f; if $x == "" then "done" else f end`, "take", take)
			goruntime.GC() // what is garbage now would be room for the program
			got, err := program.run(t.Context(), []byte("{}"))
			if !errors.Is(err, c.want) || c.want == nil && string(got) != `"done"` || runs != 2 {
				t.Errorf("%s, %v after %d runs, want %v after 2", got, err, runs, c.want)
			}
			goruntime.KeepAlive(others)
		})
	}
}

// TestWhoseTime checks that a program is not blamed for time in which it had no processor.
func TestWhoseTime(t *testing.T) {
	if goruntime.GOOS != "linux" {
		t.Skip("only the time on the wall is known here")
	}
	wait := func(any, []any) any {
		<-time.After(transformTime + 10*watchInterval)
		return "done"
	}
	program := compileWith(t, `wait | .`, "wait", wait)
	if got, err := program.run(t.Context(), []byte("{}")); err != nil || string(got) != `"done"` {
		t.Errorf("%s, %v", got, err)
	}
}

// compileWith compiles a program that calls a function of the test.
func compileWith(t *testing.T, program, name string, function func(any, []any) any) *transform {
	t.Helper()
	query, err := gojq.Parse(program)
	if err != nil {
		t.Fatal(err)
	}
	code, err := gojq.Compile(query, gojq.WithFunction(name, 0, 0, function))
	if err != nil {
		t.Fatal(err)
	}
	return &transform{code: code, slots: make(chan struct{}, 1)}
}

// TestFailuresThatMayPass checks that what says nothing about a program is tried again, and that the application is not blamed for it.
func TestFailuresThatMayPass(t *testing.T) {
	program, err := newTransform(`def f: f; f`)
	if err != nil {
		t.Fatal(err)
	}
	d := new(Destination)
	d.forwardBy = map[string]*Forward{"s": {program: program, destination: d}}
	try := &delivery.Try{Event: &queue.Event{Source: "s", Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(`{}`)}}
	check := func(want error, ctx context.Context) {
		t.Helper()
		if _, r := d.compose(ctx, try); r.Class != classTransform || r.Error != want.Error() || r.Permanent != !mayPass(want) || !r.Unreached {
			t.Errorf("%+v, want %v", r, want)
		}
	}
	short, cancel := context.WithTimeout(t.Context(), transformTime/10)
	defer cancel()
	check(errTransformCut, short)
	check(errTransformTime, t.Context())
	for range transformAtOnce {
		program.slots <- struct{}{}
	}
	check(errTransformWaited, short)
	if mayPass(errTransformTime) || mayPass(errTransformMemory) || !mayPass(errTransformCut) || !mayPass(errTransformWaited) || !mayPass(errTransformHeap) {
		t.Error("mayPass takes a verdict for none, or the other way round")
	}
}
