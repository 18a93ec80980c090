#!/usr/bin/env bash
# Write what reviewers said about the commits since the last release of a channel, for `writ publish --reviews FILE`.
#
# usage: bash .github/export-reviews.sh CHANNEL FILE [REVISION]
#
# Needs git, jq and gh. GH_TOKEN must be allowed to read contents and pull requests; GITHUB_REPOSITORY is owner/name.
# Reviewers are written as their logins, so name the members of governance.teams alike. For each review of a pull request
# the file has the commit that was reviewed, and the commits that the pull request consists of: a review says nothing
# about what the main branch held before.
set -euo pipefail

channel=${1:?CHANNEL FILE [REVISION]}
file=${2:?CHANNEL FILE [REVISION]}
revision=${3:-HEAD}
pulls=repos/${GITHUB_REPOSITORY:?owner/name}/pulls
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# The second parent of a ledger commit is what was released; before the first release nothing needs approval.
touch "$folder/commits" "$folder/numbers" "$folder/records"
if live=$(git rev-parse --quiet --verify "refs/remotes/origin/live/$channel^2"); then
  git rev-list "$revision" --not "$live" > "$folder/commits"
fi
while read -r commit; do
  gh api --paginate "repos/$GITHUB_REPOSITORY/commits/$commit/pulls" --jq '.[].number' >> "$folder/numbers"
done < "$folder/commits"

sort -nu "$folder/numbers" > "$folder/each"
while read -r number; do
  gh api --paginate "$pulls/$number/commits?per_page=100" --jq '.[].sha' > "$folder/covers"
  gh api --paginate "$pulls/$number/reviews?per_page=100" --jq '.[]' > "$folder/reviews"
  jq --compact-output --rawfile covers "$folder/covers" '
    select(.state | IN("APPROVED", "CHANGES_REQUESTED", "DISMISSED"))
    | select(.user != null and .commit_id != null)
    | {
        commit: .commit_id,
        reviewer: .user.login,
        state: (.state | ascii_downcase),
        covers: ($covers | split("\n") | map(select(. != "")) | unique),
        at: .submitted_at
      }' "$folder/reviews" >> "$folder/records"
done < "$folder/each"

jq --compact-output --slurp '{schema: 1, reviews: (sort_by(.at) | map(del(.at)))}' "$folder/records" > "$file"
echo "$(jq '.reviews | length' "$file") reviews written to $file" >&2
