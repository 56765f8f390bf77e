package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	goruntime "runtime"
	gometrics "runtime/metrics"
	"sync"
	"sync/atomic"
	"time"

	"github.com/itchyny/gojq"
)

const (
	transformMemory = 128 << 20 // by which one run may let the heap grow
	watchInterval   = 5 * time.Millisecond
)

// runWatch ends a program that takes too much time or memory, between its steps, so one step can take more.
//
// What else goes on must not count. So the time is that of the processor. The heap is everybody's: that it grows is enough to end a program, in case it runs wild, but whose the memory
// was shows only when the program is gone.
type runWatch struct {
	cancel  context.CancelCauseFunc
	clock   func() time.Duration
	until   time.Duration // on that clock
	before  uint64        // on the heap
	with    uint64        // on the heap when the watch ended the program for its memory; 0: it did not
	turn    int64         // of the program among those that were ended so; 0: beside another
	stopped sync.WaitGroup
}

// Programs that watches have ended for their memory: how many so far, and how many that are not gone yet.
var memoryEnds, memoryEnding atomic.Int64

// watchRun returns a context for a program that is about to run on this thread. It ends with errTransformTime or errTransformHeap.
func watchRun(ctx context.Context) (context.Context, *runWatch) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &runWatch{cancel: cancel, clock: threadClock(), before: heapBytes()}
	w.until = w.clock() + transformTime
	w.stopped.Go(func() {
		tick := time.NewTicker(watchInterval)
		defer tick.Stop()
		for ctx.Err() == nil {
			select {
			case <-tick.C:
				w.look()
			case <-ctx.Done():
			}
		}
	})
	return ctx, w
}

// wallClock is a clock for where there is none of a thread's processor time.
func wallClock() func() time.Duration {
	started := time.Now()
	return func() time.Duration { return time.Since(started) }
}

// look ends the program if it has run for too long, or if there is too much on the heap.
func (w *runWatch) look() {
	if w.clock() > w.until {
		w.cancel(errTransformTime)
		return
	}
	if heapBytes() <= w.before+transformMemory {
		return
	}
	turn := memoryEnds.Add(1)
	alone := memoryEnding.Add(1) == 1
	goruntime.GC() // most of it may be garbage
	with := heapBytes()
	if with <= w.before+transformMemory {
		memoryEnding.Add(-1)
		return
	}
	if w.with = with; alone {
		w.turn = turn
	}
	w.cancel(errTransformHeap)
}

// stop ends the watch and waits for it. own tells that it ended the program for its memory, and that more than transformMemory went with it, of which nothing may be left now, and with no other.
func (w *runWatch) stop() (own bool) {
	w.cancel(nil)
	w.stopped.Wait()
	if w.with == 0 {
		return false
	}
	defer memoryEnding.Add(-1)
	goruntime.GC()
	return heapBytes()+transformMemory < w.with && w.turn == memoryEnds.Load()
}

// heapBytes is the memory of objects on the heap, those included that have not been swept yet.
func heapBytes() uint64 {
	sample := []gometrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	gometrics.Read(sample)
	return sample[0].Value.Uint64()
}

// boundedMultiply is the function that stands for jq's `*` in programs: the one operation that makes something huge of something small in a single step.
const boundedMultiply = "_sluice_multiply"

var errRepeat = errors.New("repeated string is too large")

// plainMultiply is jq's own `*`.
var plainMultiply = sync.OnceValues(func() (*gojq.Code, error) {
	query, err := gojq.Parse("$x * $y")
	if err != nil {
		return nil, err
	}
	return gojq.Compile(query, gojq.WithVariables([]string{"$x", "$y"}))
})

// multiply is jq's `*` with a bound for strings.
func multiply(_ any, args []any) any {
	x, y := args[0], args[1]
	text, isText := x.(string)
	times := y
	if !isText {
		if text, isText = y.(string); isText {
			times = x
		}
	}
	if isText && float64(len(text))*jqNumber(times) > transformOutput {
		return errRepeat
	}
	code, err := plainMultiply()
	if err != nil {
		return err
	}
	value, ok := code.Run(nil, x, y).Next()
	if !ok {
		return errNoValue
	}
	return value
}

// jqNumber is a jq number as a float; 0 for anything else.
func jqNumber(v any) float64 {
	switch n := v.(type) {
	case int:
		return float64(n)
	case float64:
		return n
	case *big.Int:
		f, _ := new(big.Float).SetInt(n).Float64()
		return f
	case json.Number:
		f, err := n.Float64()
		if err != nil {
			return 0
		}
		return f
	}
	return 0
}

// boundRepeats makes a program call boundedMultiply wherever it multiplies.
func boundRepeats(query *gojq.Query) (*gojq.Query, error) {
	err := eachQuery(reflect.ValueOf(query), func(q *gojq.Query) error {
		var text string
		switch q.Op {
		case gojq.OpMul:
			text = fmt.Sprintf("%s(%s; %s)", boundedMultiply, q.Left, q.Right)
		case gojq.OpUpdateMul:
			text = fmt.Sprintf("(%s) as $_sluice_by | (%s) |= %s(.; $_sluice_by)", q.Right, q.Left, boundedMultiply)
		default:
			return nil
		}
		bounded, err := gojq.Parse(text)
		if err != nil {
			return err
		}
		bounded.Meta, bounded.Imports, bounded.FuncDefs = q.Meta, q.Imports, q.FuncDefs
		*q = *bounded
		return nil
	})
	return query, err
}

// eachQuery calls fn for each query within a program's syntax tree, inner ones first.
func eachQuery(v reflect.Value, fn func(*gojq.Query) error) error {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		if err := eachQuery(v.Elem(), fn); err != nil {
			return err
		}
		if q, ok := v.Interface().(*gojq.Query); ok {
			return fn(q)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if err := eachQuery(v.Field(i), fn); err != nil {
				return err
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			if err := eachQuery(v.Index(i), fn); err != nil {
				return err
			}
		}
	}
	return nil
}

// jsonSize is about how many bytes a value takes as JSON, at least; counting stops beyond the limit. A value that has more levels than it may is beyond any.
func jsonSize(v any, limit, levels int) int {
	size := 0
	if levels < 0 {
		return limit + 1
	}
	switch v := v.(type) {
	case string:
		size = len(v) + 2
	case []any:
		for i := 0; i < len(v) && size <= limit; i++ {
			size += jsonSize(v[i], limit-size, levels-1) + 1
		}
	case map[string]any:
		for key, value := range v {
			if size > limit {
				break
			}
			size += len(key) + 3 + jsonSize(value, limit-size, levels-1)
		}
	default:
		size = 1
	}
	return size
}
