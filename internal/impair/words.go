package impair

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Keys are the words of an impairment, as the lab file and `vrouter lab link` have them.
var Keys = []string{"loss", "delay", "reorder", "duplicate", "corrupt", "rate", "limit", "seed"}

// Parse reads a whole impairment: `none`, or keys and their values.
func Parse(words []string) (i Impairment, err error) {
	if len(words) == 1 && words[0] == "none" {
		return i, nil
	}
	if len(words) == 0 || len(words)%2 != 0 {
		return i, fmt.Errorf("write `none`, or a key and its value, such as `loss 5%%`: %s", strings.Join(Keys, ", "))
	}
	for n := 0; n < len(words); n += 2 {
		if err := i.Set(words[n], words[n+1]); err != nil {
			return i, fmt.Errorf("%s: %w", words[n], err)
		}
	}
	return i, i.Check()
}

// Set reads the value of a key, in the words of tc-netem(8).
func (i *Impairment) Set(key, value string) (err error) {
	switch key {
	case "loss":
		i.Loss, err = share(value)
	case "reorder":
		i.Reorder, err = share(value)
	case "duplicate":
		i.Duplicate, err = share(value)
	case "corrupt":
		i.Corrupt, err = share(value)
	case "delay":
		i.Delay, i.Jitter, err = delay(value)
	case "rate":
		i.Rate, err = rate(value)
	case "limit":
		var n uint64
		if n, err = strconv.ParseUint(value, 10, 31); err != nil || n == 0 {
			err = fmt.Errorf("%q is no number of frames: write one from 1 on, such as %d", value, DefaultLimit)
		}
		i.Limit = int(n)
	case "seed":
		if i.Seed, err = strconv.ParseUint(value, 10, 64); err != nil {
			err = fmt.Errorf("%q is no seed: write a whole number", value)
		}
	default:
		err = fmt.Errorf("there is no %q: there is %s", key, strings.Join(Keys, ", "))
	}
	return err
}

// Check says what does not fit together.
func (i *Impairment) Check() error {
	if i.Reorder > 0 && i.Delay == 0 {
		return errors.New("reorder needs a delay: a packet overtakes others as it is not delayed")
	}
	return nil
}

// share reads a percentage, such as 5% or 0.1%.
func share(text string) (float64, error) {
	digits, ok := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil || !(v >= 0 && v <= 100) {
		return 0, fmt.Errorf("%q is no share of packets: write it as 5%%, from 0%% to 100%%", text)
	}
	return v / 100, nil
}

// maxDelay bounds what waits, and typing errors.
const maxDelay = time.Minute

// delay reads 20ms or 20ms±5ms; +- stands for ± too.
func delay(text string) (mean, jitter time.Duration, err error) {
	first, second, spread := strings.Cut(strings.Replace(text, "+-", "±", 1), "±")
	mean, err = time.ParseDuration(strings.TrimSpace(first))
	if err == nil && spread {
		jitter, err = time.ParseDuration(strings.TrimSpace(second))
	}
	if err != nil || mean < 0 || jitter < 0 || jitter > mean || mean > maxDelay {
		return 0, 0, fmt.Errorf("%q is no delay: write it as 20ms or 20ms±5ms, at most %v, the second not more than the first", text, maxDelay)
	}
	return mean, jitter, nil
}

// rate reads 100mbit: bit, kbit, mbit or gbit a second, in thousands.
func rate(text string) (uint64, error) {
	for _, u := range []struct {
		word string
		bits float64
	}{{"kbit", 1e3}, {"mbit", 1e6}, {"gbit", 1e9}, {"bit", 1}} {
		if digits, ok := strings.CutSuffix(text, u.word); ok {
			v, err := strconv.ParseFloat(digits, 64)
			if err == nil && v*u.bits >= 1000 && v*u.bits <= 1e12 {
				return uint64(math.Round(v * u.bits)), nil
			}
			break
		}
	}
	return 0, fmt.Errorf("%q is no rate: write it as 100mbit, from 1kbit to 1000gbit", text)
}

// String is the impairment in the same words.
func (i *Impairment) String() string {
	var words []string
	for _, s := range []struct {
		key   string
		share float64
	}{{"loss", i.Loss}, {"reorder", i.Reorder}, {"duplicate", i.Duplicate}, {"corrupt", i.Corrupt}} {
		if s.share > 0 {
			words = append(words, fmt.Sprintf("%s %.12g%%", s.key, s.share*100)) // 7, not 7.000000000000001
		}
	}
	if i.Delay > 0 {
		words = append(words, "delay "+i.Delay.String())
		if i.Jitter > 0 {
			words[len(words)-1] += "±" + i.Jitter.String()
		}
	}
	if i.Rate > 0 {
		words = append(words, fmt.Sprintf("rate %gmbit", float64(i.Rate)/1e6))
	}
	if i.Limit > 0 {
		words = append(words, fmt.Sprintf("limit %d", i.Limit))
	}
	if i.Seed > 0 {
		words = append(words, fmt.Sprintf("seed %d", i.Seed))
	}
	return strings.Join(words, " ")
}
