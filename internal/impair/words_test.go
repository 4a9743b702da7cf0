package impair

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func set(t *testing.T, words string) (i Impairment) {
	t.Helper()
	f := strings.Fields(words)
	for n := 0; n < len(f); n += 2 {
		if err := i.Set(f[n], f[n+1]); err != nil {
			t.Fatalf("%s %s: %v", f[n], f[n+1], err)
		}
	}
	return i
}

func TestWords(t *testing.T) {
	for words, want := range map[string]Impairment{
		"loss 5%":                           {Loss: 0.05},
		"loss 0%":                           {},
		"loss 100% duplicate 0.1%":          {Loss: 1, Duplicate: 0.001},
		"corrupt 7% reorder 1% delay 1s":    {Corrupt: 0.07, Reorder: 0.01, Delay: time.Second},
		"delay 20ms±5ms":                    {Delay: 20 * time.Millisecond, Jitter: 5 * time.Millisecond},
		"delay 20ms+-5ms":                   {Delay: 20 * time.Millisecond, Jitter: 5 * time.Millisecond},
		"delay 1m":                          {Delay: time.Minute},
		"delay 0ms":                         {},
		"rate 100mbit":                      {Rate: 100e6},
		"rate 1000bit":                      {Rate: 1000},
		"rate 1.5kbit":                      {Rate: 1500},
		"rate 1000gbit":                     {Rate: 1e12},
		"limit 5 seed 18446744073709551615": {Limit: 5, Seed: 1<<64 - 1},
	} {
		if d := cmp.Diff(want, set(t, words)); d != "" {
			t.Errorf("%s (-want +got):\n%s", words, d)
		}
	}
}

func TestBadWords(t *testing.T) {
	for words, want := range map[string]string{
		"loss 5":            `"5" is no share of packets: write it as 5%, from 0% to 100%`,
		"loss 101%":         "no share",
		"loss -1%":          "no share",
		"loss NaN%":         "no share",
		"loss x%":           "no share",
		"loss %":            "no share",
		"reorder 1":         "no share",
		"duplicate 1":       "no share",
		"corrupt 1":         "no share",
		"delay 20":          `"20" is no delay: write it as 20ms or 20ms±5ms, at most 1m0s, the second not more than the first`,
		"delay -1ms":        "no delay",
		"delay 5ms±6ms":     "no delay",
		"delay 5ms±-1ms":    "no delay",
		"delay 5ms±":        "no delay",
		"delay 61s":         "no delay",
		"delay 5ms±1ms±1ms": "no delay",
		"rate 100":          `"100" is no rate: write it as 100mbit, from 1kbit to 1000gbit`,
		"rate 999bit":       "no rate",
		"rate 1001gbit":     "no rate",
		"rate -1mbit":       "no rate",
		"rate NaNmbit":      "no rate",
		"rate 1Mbps":        "no rate",
		"limit 0":           `"0" is no number of frames: write one from 1 on, such as 1000`,
		"limit -1":          "no number of frames",
		"limit 4294967296":  "no number of frames",
		"seed x":            `"x" is no seed: write a whole number`,
		"seed -1":           "no seed",
		"speed 1":           `there is no "speed": there is loss, delay, reorder, duplicate, corrupt, rate, limit, seed`,
	} {
		key, value, _ := strings.Cut(words, " ")
		var i Impairment
		if err := i.Set(key, value); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", words, err, want)
		}
	}
	if i := set(t, "reorder 1%"); i.Check() == nil {
		t.Error("reorder without a delay is taken")
	}
	if i := set(t, "reorder 1% delay 1ms loss 1%"); i.Check() != nil {
		t.Error(i.Check())
	}
}

// What an impairment says of itself, read again, is the same.
func TestStringAndBack(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		share := func(name string) float64 { return float64(rapid.IntRange(0, 100_000).Draw(r, name)) / 1000 / 100 }
		want := Impairment{
			Loss: share("loss"), Duplicate: share("duplicate"), Corrupt: share("corrupt"), Reorder: share("reorder"),
			Delay: time.Duration(rapid.Int64Range(0, int64(maxDelay)).Draw(r, "delay")),
			Rate:  rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64Range(1000, 1e12)).Draw(r, "rate"),
			Limit: rapid.IntRange(0, 1<<31-1).Draw(r, "limit"), Seed: rapid.Uint64().Draw(r, "seed"),
		}
		want.Jitter = time.Duration(rapid.Int64Range(0, int64(want.Delay)).Draw(r, "jitter"))
		text, got := want.String(), Impairment{}
		for f := strings.Fields(text); len(f) > 0; f = f[2:] {
			if err := got.Set(f[0], f[1]); err != nil {
				r.Fatalf("%s: %v", text, err)
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			r.Fatalf("%s (-want +got):\n%s", text, d)
		}
	})
}

func TestString(t *testing.T) {
	i := set(t, "seed 7 limit 9 rate 100mbit corrupt 0.1% duplicate 7% delay 20ms±5ms reorder 1% loss 5%")
	if got, want := i.String(), "loss 5% reorder 1% duplicate 7% corrupt 0.1% delay 20ms±5ms rate 100mbit limit 9 seed 7"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
