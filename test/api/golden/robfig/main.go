// Prints 300 random schedules with the next four firings that robfig/cron v3.0.1 gives them: go run . >../cron-random.json
package main

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

var r = rand.New(rand.NewSource(20261123))

func num(lo, hi int) string { return fmt.Sprint(lo + r.Intn(hi-lo+1)) }
func field(lo, hi int, names []string) string {
	one := func() string {
		switch r.Intn(9) {
		case 0, 1, 2:
			return num(lo, hi)
		case 3:
			a := lo + r.Intn(hi-lo+1)
			b := a + r.Intn(hi-a+1)
			return fmt.Sprintf("%d-%d", a, b)
		case 4:
			return "*/" + num(1, hi)
		case 5:
			a := lo + r.Intn(hi-lo+1)
			b := a + r.Intn(hi-a+1)
			return fmt.Sprintf("%d-%d/%d", a, b, 1+r.Intn(6))
		case 6:
			return num(lo, hi) + "/" + num(1, 9)
		case 7:
			if len(names) > 0 {
				return names[r.Intn(len(names))]
			}
			return num(lo, hi)
		default:
			return []string{"*", "?", "*"}[r.Intn(3)]
		}
	}
	n := 1
	if r.Intn(4) == 0 {
		n = 2 + r.Intn(2)
	}
	p := []string{}
	for i := 0; i < n; i++ {
		p = append(p, one())
	}
	s := strings.Join(p, ",")
	if r.Intn(25) == 0 {
		junk := []string{"7", "60", "-1", "L", "a", "1-", "/2", "*/0", "5-3", "+3", ",", "1,,2", "**", "*-5", "99999999999999999999", "#"}
		s = junk[r.Intn(len(junk))]
	}
	return s
}
func main() {
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kolkata", "Asia/Tehran", "Pacific/Apia", "America/Santiago", "Atlantic/Azores", "Africa/Cairo"}
	mon := []string{"jan", "FEB", "Mar", "apr", "dec"}
	dow := []string{"sun", "MON", "Tue", "sat"}
	b := []string{}
	for i := 0; i < 300; i++ {
		var e string
		if r.Intn(20) == 0 {
			e = []string{"@every 90m", "@every 1h30m10s", "@every 500ms", "@every -5m", "@every 1.5h", "@every 10", "@hourly", "@monthly", "@weekly", "@yearly", "@every  1h", "@every 1d", "@every .5h", "@every 2µs"}[r.Intn(14)]
		} else {
			stars := func(p int, f string) string {
				if r.Intn(100) < p {
					return "*"
				}
				return f
			}
			e = strings.Join([]string{field(0, 59, nil), stars(25, field(0, 23, nil)), stars(60, field(1, 31, nil)), stars(70, field(1, 12, mon)), stars(60, field(0, 6, dow))}, " ")
		}
		tz := zones[r.Intn(len(zones))]
		loc, err := time.LoadLocation(tz)
		if err != nil {
			panic(err)
		}
		from := time.Date(2011+r.Intn(20), time.Month(1+r.Intn(12)), 1+r.Intn(28), r.Intn(24), r.Intn(60), r.Intn(60), 0, time.UTC)
		if r.Intn(2) == 0 { // near a change of the clocks
			t := from
			_, o := t.In(loc).Zone()
			for k := 0; k < 24*400; k++ {
				t = t.Add(time.Hour)
				_, o2 := t.In(loc).Zone()
				if o2 != o {
					from = t.Add(-time.Duration(r.Intn(30))*time.Hour - time.Duration(r.Intn(3600))*time.Second)
					break
				}
			}
		}
		var runs []string // null when the schedule is refused
		s, err := cron.ParseStandard("TZ=" + tz + " " + e)
		if strings.HasPrefix(e, "@") {
			s, err = cron.ParseStandard(e)
		}
		if err == nil {
			runs = []string{}
			t := from
			if strings.HasPrefix(e, "@") {
				t = t.In(loc)
			}
			for k := 0; k < 4; k++ {
				t = s.Next(t)
				if t.IsZero() {
					break
				}
				runs = append(runs, t.UTC().Format(time.RFC3339))
			}
		}
		j, _ := json.Marshal([]any{e, tz, from.Format(time.RFC3339), runs})
		b = append(b, string(j))
	}
	os.Stdout.WriteString("[\n" + strings.Join(b, ",\n") + "\n]\n")
}
