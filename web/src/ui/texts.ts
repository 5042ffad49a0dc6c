/** The page's texts in all its languages. The English text is the key; messages about single files stay English. */

export const LANGUAGES = { en: "English", de: "Deutsch", fr: "Français", es: "Español", zh: "中文", ja: "日本語" } as const;
export type Language = keyof typeof LANGUAGES;
type Translations = [de: string, fr: string, es: string, zh: string, ja: string];

export const TEXTS = {
  // the page as it opens
  "starting…": ["startet …", "démarrage…", "iniciando…", "正在启动…", "起動中…"],
  "Runtime of the model": ["Laufzeit des Modells", "Moteur du modèle", "Motor del modelo", "模型运行环境", "モデルの実行環境"],
  "Dark mode": ["Dunkle Ansicht", "Mode sombre", "Modo oscuro", "深色模式", "ダークモード"],
  "Picture": ["Bild", "Image", "Imagen", "图片", "画像"],
  "Pictures": ["Bilder", "Images", "Imágenes", "图片", "画像"],
  "Upscale and clean up small pictures": [
    "Kleine Bilder vergrößern und verbessern", "Agrandir et nettoyer de petites images", "Ampliar y limpiar imágenes pequeñas", "放大并修复小图片", "小さな画像を拡大してきれいに",
  ],
  "Drop pictures or a folder here, paste one, or": [
    "Bilder oder einen Ordner hierher ziehen, eines einfügen, oder", "Déposez des images ou un dossier, collez-en une, ou",
    "Suelta imágenes o una carpeta, pega una, o", "将图片或文件夹拖到这里、粘贴，或", "画像やフォルダーをここにドロップ、貼り付け、または",
  ],
  "Choose pictures": ["Bilder auswählen", "Choisir des images", "Elegir imágenes", "选择图片", "画像を選択"],
  "Examples": ["Beispiele", "Exemples", "Ejemplos", "示例", "例"],
  "or try": ["oder ausprobieren:", "ou essayer", "o probar", "或试用", "または試す"],
  "Try the cat": ["Die Katze ausprobieren", "Essayer le chat", "Probar el gato", "试用猫的图片", "猫の画像を試す"],
  "Try the cup of coffee": ["Die Kaffeetasse ausprobieren", "Essayer la tasse de café", "Probar la taza de café", "试用咖啡的图片", "コーヒーの画像を試す"],
  "Try the astronaut": ["Die Astronautin ausprobieren", "Essayer l'astronaute", "Probar la astronauta", "试用宇航员的图片", "宇宙飛行士の画像を試す"],
  "The model runs on this device. Nothing is uploaded.": [
    "Das Modell läuft auf diesem Gerät. Nichts wird hochgeladen.", "Le modèle tourne sur cet appareil. Rien n'est envoyé.",
    "El modelo se ejecuta en este dispositivo. No se sube nada.", "模型在本设备上运行，不会上传任何内容。", "モデルはこの端末で動作し、何もアップロードされません。",
  ],
  "Nothing is uploaded: this page can only connect to its own server.": [
    "Nichts wird hochgeladen: Diese Seite kann nur ihren eigenen Server erreichen.", "Rien n'est envoyé : cette page ne peut joindre que son propre serveur.",
    "No se sube nada: esta página solo puede conectarse a su propio servidor.", "不会上传任何内容：本页面只能连接自己的服务器。", "何もアップロードされません。このページは自身のサーバーにしか接続できません。",
  ],
  "Pictures are sent to this page's server.": [
    "Bilder werden an den Server dieser Seite gesendet.", "Les images sont envoyées au serveur de cette page.", "Las imágenes se envían al servidor de esta página.",
    "图片会发送到本页面的服务器。", "画像はこのページのサーバーに送信されます。",
  ],
  "Licences": ["Lizenzen", "Licences", "Licencias", "许可证", "ライセンス"],
  "Language": ["Sprache", "Langue", "Idioma", "语言", "言語"],
  "Drop to upscale": ["Zum Vergrößern loslassen", "Déposez pour agrandir", "Suelta para ampliar", "松开以放大", "ドロップして拡大"],
  // settings
  "Settings": ["Einstellungen", "Réglages", "Ajustes", "设置", "設定"],
  "Size": ["Größe", "Taille", "Tamaño", "尺寸", "サイズ"],
  "Width in px": ["Breite in px", "Largeur en px", "Anchura en px", "宽度（px）", "幅（px）"],
  "Height in px": ["Höhe in px", "Hauteur en px", "Altura en px", "高度（px）", "高さ（px）"],
  "width": ["Breite", "largeur", "anchura", "宽", "幅"],
  "height": ["Höhe", "hauteur", "altura", "高", "高さ"],
  "Look": ["Wirkung", "Rendu", "Aspecto", "效果", "仕上がり"],
  "crisp": ["scharf", "net", "nítido", "锐利", "シャープ"],
  "faithful to the input": ["treu zur Vorlage", "fidèle à l'original", "fiel al original", "忠于原图", "元画像に忠実"],
  "Format": ["Format", "Format", "Formato", "格式", "形式"],
  "same as input": ["wie die Vorlage", "comme l'original", "como el original", "与原图相同", "元画像と同じ"],
  "More": ["Mehr", "Plus", "Más", "更多", "その他"],
  "Sharpness": ["Schärfe", "Netteté", "Nitidez", "锐度", "鮮鋭さ"],
  "Quality of JPEG and WebP": ["Qualität von JPEG und WebP", "Qualité JPEG et WebP", "Calidad de JPEG y WebP", "JPEG 和 WebP 质量", "JPEG・WebP の品質"],
  "auto": ["auto", "auto", "auto", "自动", "自動"],
  "Remove EXIF, location and text": [
    "EXIF, Ort und Text entfernen", "Supprimer EXIF, lieu et texte", "Quitar EXIF, ubicación y texto", "移除 EXIF、位置和文本", "EXIF・位置情報・テキストを削除",
  ],
  "Upscale on the server": ["Auf dem Server vergrößern", "Agrandir sur le serveur", "Ampliar en el servidor", "在服务器上放大", "サーバーで拡大"],
  "Token of the server": ["Token des Servers", "Jeton du serveur", "Token del servidor", "服务器令牌", "サーバーのトークン"],
  "Apply to this picture": ["Auf dieses Bild anwenden", "Appliquer à cette image", "Aplicar a esta imagen", "应用到此图片", "この画像に適用"],
  // the viewer
  "Before": ["Vorher", "Avant", "Antes", "之前", "前"],
  "After": ["Nachher", "Après", "Después", "之后", "後"],
  "After, in progress": ["Nachher, in Arbeit", "Après, en cours", "Después, en curso", "之后（处理中）", "後（処理中）"],
  "Before and after. Plus and minus to zoom, arrow keys to move, 0 to fit.": [
    "Vorher und nachher. Plus und Minus zoomen, Pfeiltasten verschieben, 0 passt ein.", "Avant et après. Plus et moins pour zoomer, flèches pour déplacer, 0 pour ajuster.",
    "Antes y después. Más y menos para el zoom, flechas para mover, 0 para ajustar.", "前后对比。加减键缩放，方向键移动，0 键适应窗口。", "前後の比較。＋と－でズーム、矢印キーで移動、0で全体表示。",
  ],
  "Position of the divider between before and after": [
    "Position der Trennlinie zwischen vorher und nachher", "Position du séparateur entre avant et après", "Posición del divisor entre antes y después", "前后分隔线的位置", "前後の境界線の位置",
  ],
  "Zoom": ["Zoom", "Zoom", "Zoom", "缩放", "ズーム"],
  "Zoom in": ["Vergrößern", "Zoom avant", "Acercar", "放大视图", "ズームイン"],
  "Zoom out": ["Verkleinern", "Zoom arrière", "Alejar", "缩小视图", "ズームアウト"],
  "Fit": ["Einpassen", "Ajuster", "Ajustar", "适应", "全体"],
  "Actual pixels": ["Originalgröße", "Taille réelle", "Tamaño real", "实际像素", "実寸"],
  "Compare": ["Vergleichen", "Comparer", "Comparar", "比较", "比較"],
  "Left half": ["Linke Hälfte", "Moitié gauche", "Mitad izquierda", "左半部分", "左半分"],
  "Right half": ["Rechte Hälfte", "Moitié droite", "Mitad derecha", "右半部分", "右半分"],
  "faithful": ["treu", "fidèle", "fiel", "忠实", "忠実"],
  "look {value}": ["Wirkung {value}", "rendu {value}", "aspecto {value}", "效果 {value}", "仕上がり {value}"],
  "sharpness {value}": ["Schärfe {value}", "netteté {value}", "nitidez {value}", "锐度 {value}", "鮮鋭さ {value}"],
  "quality {value}": ["Qualität {value}", "qualité {value}", "calidad {value}", "质量 {value}", "品質 {value}"],
  "no metadata": ["ohne Metadaten", "sans métadonnées", "sin metadatos", "无元数据", "メタデータなし"],
  "server": ["Server", "serveur", "servidor", "服务器", "サーバー"],
  "Share": ["Teilen", "Partager", "Compartir", "分享", "共有"],
  "Copy": ["Kopieren", "Copier", "Copiar", "复制", "コピー"],
  "Download": ["Herunterladen", "Télécharger", "Descargar", "下载", "ダウンロード"],
  "copied": ["kopiert", "copié", "copiado", "已复制", "コピーしました"],
  "preview reduced": ["Vorschau verkleinert", "aperçu réduit", "vista previa reducida", "预览已缩小", "プレビュー縮小"],
  // the list
  "Download all": ["Alle herunterladen", "Tout télécharger", "Descargar todo", "全部下载", "すべてダウンロード"],
  "All results in one zip file": ["Alle Ergebnisse in einer ZIP-Datei", "Tous les résultats dans un fichier zip", "Todos los resultados en un archivo zip", "所有结果打包为一个 zip 文件", "すべての結果を1つのzipファイルに"],
  "Add pictures": ["Bilder hinzufügen", "Ajouter des images", "Añadir imágenes", "添加图片", "画像を追加"],
  "Cancel": ["Abbrechen", "Annuler", "Cancelar", "取消", "キャンセル"],
  "Try again": ["Erneut versuchen", "Réessayer", "Reintentar", "重试", "再試行"],
  "Remove": ["Entfernen", "Retirer", "Quitar", "移除", "削除"],
  "Progress": ["Fortschritt", "Progression", "Progreso", "进度", "進行状況"],
  "waiting": ["wartet", "en attente", "en espera", "等待中", "待機中"],
  "working…": ["in Arbeit …", "en cours…", "en curso…", "处理中…", "処理中…"],
  "{time} left": ["noch {time}", "reste {time}", "queda {time}", "剩余 {time}", "残り {time}"],
  "cancelled": ["abgebrochen", "annulé", "cancelado", "已取消", "キャンセル済み"],
  "{name} is done": ["{name} ist fertig", "{name} est terminée", "{name} está lista", "{name} 已完成", "{name} が完了しました"],
  // the start of the model
  "loading · {size}": ["lädt · {size}", "chargement · {size}", "cargando · {size}", "加载中 · {size}", "読み込み中 · {size}"],
  "1 thread": ["1 Thread", "1 thread", "1 hilo", "1 线程", "1 スレッド"],
  "{count} threads": ["{count} Threads", "{count} threads", "{count} hilos", "{count} 线程", "{count} スレッド"],
  "unavailable": ["nicht verfügbar", "indisponible", "no disponible", "不可用", "利用不可"],
  "The model did not start: {reason}": [
    "Das Modell ist nicht gestartet: {reason}", "Le modèle n'a pas démarré : {reason}", "El modelo no arrancó: {reason}", "模型未能启动：{reason}", "モデルを起動できませんでした：{reason}",
  ],
} satisfies Record<string, Translations>;
export type Text = keyof typeof TEXTS;
