// What the script says, in Korean and English. `{}` are filled in order.

const TEXTS = {
  count: ["{} / {}개 모델", "{} / {} models"],
  more: ["모델 {}개 더 보기", "Show {} more models"],
  pins_full: ["모델은 {}개까지 고정할 수 있습니다.", "Up to {} models can be pinned."],
  pins_few: ["비교하려면 먼저 모델을 두 개 이상 고정하십시오.", "Pin at least two models to compare them."],
  copied: ["복사했습니다", "Copied"],
  copy: ["복사", "Copy"],
  copy_failed: ["복사하지 못했습니다. 직접 골라 복사하십시오.", "Could not copy. Select the text and copy it."],
  theme: ["화면: {}", "Theme: {}"],
  auto: ["자동", "auto"],
  light: ["밝게", "light"],
  dark: ["어둡게", "dark"],
  no_data: [
    "{} 파일을 읽을 수 없습니다. 사이트를 다시 만들거나 폴더를 통째로 복사하십시오. 표는 그대로 읽을 수 있습니다.",
    "{} cannot be read. Build the site again, or copy its whole folder. The tables can be read without it.",
  ],
  other_version: [
    "자료의 판({})이 이 스크립트의 판({})과 다릅니다. 사이트를 다시 만드십시오.",
    "The data have version {}, the script expects {}. Build the site again.",
  ],
  failed: [
    "이 기능을 시작하지 못했습니다: {}. 표는 그대로 읽을 수 있습니다.",
    "This did not start: {}. The tables can be read without it.",
  ],
  no_snapshot: [
    "{} 시점의 순위표가 없습니다. 지금의 순위표를 보여 드립니다.",
    "There is no state {} of this board. This is the current one.",
  ],
  unknown_row: ["링크에 있던 모델이 이 순위표에 없습니다: {}", "Not on this board, though the link names it: {}"],
  columns_toggle: ["모두", "all"],
  columns_facts: ["모델 정보", "Facts"],
  columns_groups: ["분야", "Groups"],
  weights_note: [
    "분야의 비중을 바꾸면 점수, 구간, 순위 구간을 브라우저에서 다시 계산합니다.",
    "Change the shares of the groups: scores, intervals and rank intervals are computed again in the browser.",
  ],
  weights_reset: ["원래 비중으로", "Back to the formula"],
  weights_now: [
    "비중을 바꾼 순위입니다. 발표된 순위가 아닙니다.",
    "This order has other weights than the board's formula.",
  ],
  weights_used: ["재표본 {}개로 계산했습니다.", "Computed from {} resamples."],
  weights_fewer: [
    "짝이 많아 재표본 {1}개 가운데 {2}개로 순위 구간을 계산했습니다.",
    "There are many pairs: rank intervals are from {2} of {1} resamples.",
  ],
  weights_none: [
    "재표본이 없어 점수와 순위만 다시 계산합니다.",
    "There are no resamples: only scores and ranks are computed again.",
  ],
  weights_zero: ["비중이 모두 0이면 점수가 없습니다.", "With no weight at all there is no score."],
  weights_loading: ["재표본을 읽는 중…", "Reading resamples…"],
  close: ["닫기", "Close"],
  truncated: ["잘린 텍스트", "Truncated texts"],
  truncated_value: ["{} {} / {} (가장 긴 것 {}토큰)", "{} {} / {} (longest {} tokens)"],
  seconds_stored: ["채점 {}초 (벡터는 저장소에 있었음)", "scoring {} s (vectors were stored)"],
  card_task: ["과제 페이지", "Task page"],
  interval: ["{}% 구간", "{} % interval"],
  source: ["출처", "Source"],
  measured: ["직접 측정", "measured"],
  claimed: ["발표된 값: {}", "claimed by {}"],
  commit: ["커밋", "Commit"],
  model_revision: ["모델 리비전", "Model revision"],
  dataset_revision: ["데이터 리비전", "Dataset revision"],
  data_hash: ["데이터 SHA-256", "Data SHA-256"],
  items: ["항목 수", "Items"],
  prompts: ["프롬프트", "Prompts"],
  prompts_unknown: ["기록되지 않음", "not recorded"],
  prompts_none: ["없음", "none"],
  prompt_empty: ["(아무것도 붙이지 않음)", "(nothing put before)"],
  max_tokens: ["최대 토큰", "Max tokens"],
  dtype: ["자료형", "Dtype"],
  similarity: ["유사도", "Similarity"],
  versions: ["버전", "Versions"],
  hardware: ["장비", "Hardware"],
  seconds: ["시간", "Time"],
  seconds_value: ["인코딩 {}초, 채점 {}초", "encoding {} s, scoring {} s"],
  date: ["날짜", "Date"],
  command: ["명령", "Command"],
  others: ["같은 칸의 다른 출처", "The same cell by other sources"],
  value: ["값", "Value"],
  difference: ["차이", "Difference"],
  not_recorded: ["기록 없음", "not recorded"],
  board: ["순위표", "Board"],
  model_n: ["모델 {}", "Model {}"],
  none: ["(없음)", "(none)"],
  ranked: ["순위 있음", "Ranked"],
  unranked: ["순위 없음", "Without a rank"],
  pick_two: ["서로 다른 모델을 두 개 이상 고르십시오.", "Pick at least two different models."],
  common: [
    "고른 모델 모두에게 점수가 있는 과제 {}개(전체 {}개)에서 비교합니다. 차이는 A를 뺀 값이며 점수는 100점 만점입니다.",
    "Compared on the {} of {} tasks that all of these models have. Differences are against A; scores are out of 100.",
  ],
  common_none: [
    "고른 모델 모두에게 점수가 있는 과제가 없어 비교할 수 없습니다.",
    "No task has scores of all of these models, so they cannot be compared.",
  ],
  modes_items: [
    "구간은 같은 항목을 함께 다시 뽑아 얻은 {}% 구간입니다.",
    "Intervals are {} %, from resamples of the same items for both.",
  ],
  modes_tasks: [
    "전체 차이의 구간은 과제를 다시 뽑아 얻은 {}% 구간입니다. 과제마다의 구간은 항목 점수가 없어 낼 수 없습니다.",
    "The interval of the overall difference is {} %, from resampled tasks. Single tasks have none: there are no item scores.",
  ],
  modes_none: ["이 모델들 사이의 구간은 낼 수 없습니다.", "There are no intervals between these models."],
  zone: [
    "차이의 구간이 ±{}점 안이면 실질적으로 같다고 봅니다.",
    "Practically equal: the whole interval lies within ±{} points.",
  ],
  comparison: ["모델 비교", "Comparison of models"],
  task: ["과제", "Task"],
  overall: ["전체 점수", "Score of the board"],
  common_mean: ["공통 과제의 평균", "Mean of the common tasks"],
  record: ["이긴 과제 / 같음 / 진 과제", "Tasks won / tied / lost"],
  better: ["▲ 나음", "▲ better"],
  worse: ["▼ 못함", "▼ worse"],
  "practically equal": ["≈ 실질적으로 같음", "≈ practically equal"],
  undecided: ["? 가릴 수 없음", "? undecided"],
  profile: ["분야별 평균", "Means by group"],
  profile_note: [
    "공통 과제가 없는 분야는 비워 둡니다. 가운데는 {}점입니다.",
    "Groups without common tasks are gaps. The centre is {}.",
  ],
  differences: ["과제마다의 차이", "Differences by task"],
  differences_note: [
    "띠는 실질적으로 같은 범위, 선은 구간입니다.",
    "The band is what counts as practically equal; lines are intervals.",
  ],
  flips: ["다르게 답한 항목", "Items answered differently"],
  flips_none: ["두 모델이 다르게 답한 항목이 없습니다.", "There are no items that the two answer differently."],
  flips_worse: ["{}이(가) 못한 항목", "{} is worse"],
  flips_better: ["{}이(가) 나은 항목", "{} is better"],
  flips_out: ["페이지에 싣지 못한 항목이 {}개 더 있습니다.", "{} more items are beyond the limit of a page."],
  item: ["항목", "Item"],
  text: ["글", "Text"],
  loading: ["읽는 중…", "Reading…"],
  choose_count: [
    "조건에 맞는 모델 {}개, 알 수 없는 것이 있는 모델 {}개, 맞지 않는 모델 {}개.",
    "{} models fit, {} have unknown facts, {} do not fit.",
  ],
  choose_unscored: [
    "과제가 빠져 점수가 없는 모델 {}개는 고르지 않았습니다.",
    "{} models without a score (tasks are missing) are not considered.",
  ],
  choose_nothing: [
    "조건에 맞는 모델이 없습니다. 조건을 하나씩 풀어 보십시오.",
    "No model fits. Loosen one constraint at a time.",
  ],
  choose_best: [
    "점수만 보면 첫째 묶음, 곧 어느 것보다도 확실히 못하지 않은 모델은 {}개입니다: {}",
    "By score alone the first group, which nothing that fits is certainly better than, has {}: {}",
  ],
  choose_untested: [
    "이 순위표에는 구간이 없어 차이를 가리지 않았습니다. 점수가 가장 높은 것은 {}입니다.",
    "This board has no intervals, so no difference was tested. The highest score has {}.",
  ],
  choose_front: ["고를 만한 모델", "Worth a look"],
  choose_front_note: [
    "경계: 비용이 같거나 적으면서 더 좋은 모델이 없습니다. 동률: 점수가 더 높은 모델이 있으나 확실히 낫지는 않습니다.",
    "Front: nothing as cheap scores higher. Tie: something as cheap does, but is not certainly better.",
  ],
  choose_beaten: ["조건에는 맞지만 같은 비용에 더 좋은 모델이 있음", "Fits, but something as cheap is better"],
  choose_costless: ["조건에는 맞지만 비용을 알 수 없음", "Fits, but its cost is unknown"],
  choose_unknown: ["확인이 필요함: 알 수 없는 것이 있음", "To be checked: something is unknown"],
  choose_out: ["조건에 맞지 않음", "Does not fit"],
  model: ["모델", "Model"],
  score: ["점수", "Score"],
  rank: ["순위", "Rank"],
  place: ["자리", "Place"],
  reasons: ["까닭", "Reasons"],
  code: ["코드", "Code"],
  no_code: ["이 모델의 코드가 없습니다.", "There is no code for this model."],
  front: ["● 경계", "● front"],
  tied: ["○ 동률", "○ tie"],
  beaten: ["· 뒤짐", "· beaten"],
  axis_params: ["파라미터", "Parameters"],
  axis_index: ["색인 (GB, 조각 100만 개당)", "Index (GB per million chunks)"],
  axis_latency: ["문장당 시간 (ms)", "Time per text (ms)"],
  scatter: ["점수와 비용", "Score and cost"],
  scatter_note: ["선은 순위 구간이 아니라 점수의 구간입니다.", "Vertical lines are intervals of the score."],
  unknown: ["알 수 없음", "unknown"],
  why_params_cpu: ["CPU: 파라미터 {} (10억까지)", "CPU: {} parameters (up to 1 billion)"],
  why_light: ["신경망이 아니어서 CPU로 충분함", "not a network: a CPU is enough"],
  why_memory: ["메모리 약 {} GB (가중치 2바이트와 20%)", "about {} GB of memory (2 bytes per weight and 20 %)"],
  why_license: ["라이선스: {}", "licence: {}"],
  why_conditional: ["라이선스에 조건이 있음: {}", "licence with conditions: {}"],
  why_tokens: ["최대 토큰 {}", "max tokens {}"],
  why_unlimited: ["길이 제한 없음", "no limit of length"],
  why_api: ["API로만 쓸 수 있음", "only behind an API"],
  why_open: ["가중치 공개 여부", "whether the weights are open"],
  why_index: ["색인 {} GB", "index of {} GB"],
  why_index_other: [
    "한 조각이 벡터 하나가 아니어서 색인 크기를 알 수 없음",
    "index size: a chunk is not one dense vector",
  ],
  shorter: ["줄일 수 있는 차원: {}", "shorter vectors: {}"],
} satisfies Record<string, [ko: string, en: string]>;

export type Text = keyof typeof TEXTS;

let language: "ko" | "en" = "ko";

/** Chooses the language; anything but Korean gets English. */
export function speak(lang: string): void {
  language = lang.startsWith("ko") ? "ko" : "en";
}

/** A text with its values: `{}` take them in order, `{2}` the second. */
export function t(key: Text, ...values: (string | number)[]): string {
  let next = 0;
  return TEXTS[key][language === "ko" ? 0 : 1].replace(/\{(\d?)\}/g, (_, place: string) =>
    String(values[place ? Number(place) - 1 : next++] ?? ""),
  );
}

/** The reader's text of a pair. */
export function named(text: { ko: string; en: string }): string {
  return text[language];
}
