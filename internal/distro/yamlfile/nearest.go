package yamlfile

import (
	"slices"
	"strings"
)

// Nearest is the end of an error message about a word that is not among known: the one that was
// probably meant, if one is near, else all of them.
func Nearest(word string, known []string) string {
	best, least := "", max(2, len(word)/3)+1
	for _, k := range known {
		if n := distance(strings.ToLower(word), strings.ToLower(k)); n < least {
			best, least = k, n
		}
	}
	switch {
	case best != "":
		return `; did you mean "` + best + `"?`
	case len(known) == 0:
		return ""
	}
	return "; known are " + strings.Join(slices.Sorted(slices.Values(known)), ", ")
}

// distance is Levenshtein's: how many bytes to insert, delete or replace to make b of a.
func distance(a, b string) int {
	above, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			replace := above[j]
			if a[i] != b[j] {
				replace++
			}
			row[j+1] = min(replace, above[j+1]+1, row[j]+1)
		}
		above, row = row, above
	}
	return above[len(b)]
}
